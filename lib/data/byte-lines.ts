/**
 * A stream of bytes to lines of text, one by one, for filters that answer each line: ends at LF or CRLF and nowhere else, decoded
 * strictly, so that a line that isn't UTF-8 is known as one and the next line is read all the same.
 */

import { firstInvalidByte } from './utf8.js';

const LF = 0x0a;
const CR = 0x0d;
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

export interface ByteLine {
  /** From 1 on. */
  number: number;
  /** Without its end; null where it isn't UTF-8. */
  text: string | null;
  /** Of the first byte that isn't UTF-8, in the stream. */
  invalidByte?: number;
}

/** A byte order mark at the beginning is left out. What follows the last LF is a line if it isn't empty. */
export async function* byteLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<ByteLine> {
  let parts: Uint8Array[] = [];
  let number = 0;
  let offset = 0; // of the line's first byte
  const finish = (last: Uint8Array): ByteLine => {
    const bytes = parts.length === 0 ? last : Buffer.concat([...parts, last]);
    parts = [];
    number += 1;
    const line = decode(bytes, { number, offset });
    offset += bytes.length + 1;
    return line;
  };
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      yield finish(chunk.subarray(start, end));
      start = end + 1;
    }
    // A copy: the stream may use its buffer again.
    if (start < chunk.length) parts.push(Uint8Array.from(chunk.subarray(start)));
  }
  if (parts.length > 0) yield finish(new Uint8Array(0));
}

function decode(bytes: Uint8Array, { number, offset }: { number: number; offset: number }): ByteLine {
  const isFirst = offset === 0 && BYTE_ORDER_MARK.every((byte, index) => bytes[index] === byte);
  const start = isFirst ? BYTE_ORDER_MARK.length : 0;
  const end = bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
  const content = bytes.subarray(start, Math.max(start, end));
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    return { number, text: decoder.decode(content) };
  } catch {
    return { number, text: null, invalidByte: offset + start + firstInvalidByte(content) };
  }
}
