/**
 * TensorFlow's OrderedCode, as far as the keys of slices of partitioned variables need it: numbers and strings in bytes
 * that sort as they do.
 */

/** One extent of a slice; length -1 means the whole dimension. */
export interface SliceExtent {
  start: number;
  length: number;
}

/** The key under which a bundle stores a slice of a variable. */
export function sliceKey(name: string, extents: readonly SliceExtent[]): Uint8Array {
  return Buffer.concat([
    orderedNumber(0),
    orderedString(Buffer.from(name)),
    orderedNumber(extents.length),
    ...extents.flatMap(({ start, length }) => [orderedSigned(start), orderedSigned(length)]),
  ]);
}

/** A count of bytes, then the number's bytes without leading zeros, highest first. */
export function orderedNumber(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.from([bytes.length, ...bytes]);
}

/** 00 becomes 00 ff and ff becomes ff 00, so that the terminator 00 01 stands out. */
export function orderedString(text: Uint8Array): Uint8Array {
  const bytes: number[] = [];
  for (const byte of text) {
    if (byte === 0x00) bytes.push(0x00, 0xff);
    else if (byte === 0xff) bytes.push(0xff, 0x00);
    else bytes.push(byte);
  }
  return Uint8Array.from([...bytes, 0x00, 0x01]);
}

/** What the first byte is combined with, by length from 2: the sign, and a unary count of the bytes that follow. */
const LENGTH_MARKS = [0xc0, 0xe0, 0xf0, 0xf8, 0xfc, 0xfe, 0xff, 0xff, 0xff];

/** A signed number of at most 64 bits: n fits in L bytes when it fits in 7 L bits. */
export function orderedSigned(value: number | bigint): Uint8Array {
  const number = BigInt(value);
  let length = 1;
  while (length < 10 && BigInt.asIntN(7 * length, number) !== number) length += 1;
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) {
    bytes[length - 1 - index] = Number((number >> BigInt(8 * index)) & 0xffn);
  }
  if (length === 1) {
    bytes[0] ^= 0x80;
    return bytes;
  }
  bytes[0] ^= LENGTH_MARKS[length - 2];
  if (length >= 9) bytes[1] ^= length === 9 ? 0x80 : 0xc0;
  return bytes;
}
