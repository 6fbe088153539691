/** Lines of a text file, decoded strictly: what every corpus reader starts from. */

import { AlbertNerError } from '../errors.js';
import { openDecompressed } from '../files.js';
import { firstInvalidByte } from './utf8.js';

/**
 * Lines without their ends ('\n' or '\r\n') and without a byte order mark, of a file as it is or compressed (.gz, .xz;
 * byte offsets count decompressed bytes). Rejects with ERR_INVALID_DATA: unreadable,
 * empty, UTF-16, not UTF-8 (with the byte offset), a CR within a line. Reads the file once, from its
 * beginning to its end, so it may be a pipe.
 */
export async function readLines(file: string): Promise<string[]> {
  let bytes: Buffer;
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of await openDecompressed(file)) chunks.push(chunk);
    bytes = Buffer.concat(chunks);
  } catch (cause) {
    throw new AlbertNerError('ERR_INVALID_DATA', `Can't read ${file}: ${(cause as Error).message}`, {
      details: { file },
      cause,
    });
  }
  if (bytes.length === 0) throw invalid(file, 'the file is empty', 0);
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw invalid(file, 'it is UTF-16; convert it to UTF-8', 0);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const byteOffset = firstInvalidByte(bytes);
    throw invalid(file, `it is not UTF-8 at byte ${byteOffset}`, byteOffset);
  }
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  if (lines.at(-1) === '') lines.pop();
  const broken = lines.findIndex((line) => line.includes('\r'));
  if (broken < 0) return lines;
  throw new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${broken + 1}: Expected lines that end with LF or CRLF but received a CR within one; convert the line ends`,
    { details: { file, line: broken + 1 } },
  );
}

function invalid(file: string, why: string, byteOffset: number): AlbertNerError {
  return new AlbertNerError('ERR_INVALID_DATA', `Can't read ${file}: ${why}`, {
    details: { file, byteOffset },
  });
}
