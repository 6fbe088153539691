/** CRC-32C (Castagnoli), as TensorFlow's files use it; the CRC-32 of zlib is another polynomial. */

const POLYNOMIAL = 0x82f63b78;
const MASK_DELTA = 0xa282ead8;

/** Bytes that one step takes in. */
const STRIDE = 8;

/** tables[k * 256 + b]: the effect of byte b followed by k zero bytes. */
const tables = new Uint32Array(STRIDE * 256);
for (let byte = 0; byte < 256; byte += 1) {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  tables[byte] = value;
}
for (let index = 256; index < tables.length; index += 1) {
  const before = tables[index - 256];
  tables[index] = (before >>> 8) ^ tables[before & 0xff];
}

/** Unsigned 32-bit checksum; `before` is that of the bytes in front of these. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let state = ~before;
  const whole = bytes.length - (bytes.length % STRIDE);
  let at = 0;
  for (; at < whole; at += STRIDE) {
    state ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    state =
      tables[1792 + (state & 0xff)] ^
      tables[1536 + ((state >>> 8) & 0xff)] ^
      tables[1280 + ((state >>> 16) & 0xff)] ^
      tables[1024 + (state >>> 24)] ^
      tables[768 + bytes[at + 4]] ^
      tables[512 + bytes[at + 5]] ^
      tables[256 + bytes[at + 6]] ^
      tables[bytes[at + 7]];
  }
  for (; at < bytes.length; at += 1) state = (state >>> 8) ^ tables[(state ^ bytes[at]) & 0xff];
  return ~state >>> 0;
}

/** A checksum as it is stored beside data that may hold checksums itself: rotated and shifted. */
export function maskCrc32c(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

export function maskedCrc32c(bytes: Uint8Array): number {
  return maskCrc32c(crc32c(bytes));
}
