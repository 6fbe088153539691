/** Where bytes stop being UTF-8. */

/**
 * The start of the first sequence that isn't UTF-8, or isn't whole, of bytes that are known not to be UTF-8. By halving: decoding a
 * prefix fails exactly past it.
 */
export function firstInvalidByte(bytes: Uint8Array): number {
  let sound = 0;
  let broken = bytes.length;
  while (broken - sound > 1) {
    const middle = (sound + broken) >> 1;
    try {
      // As a stream: a character cut off by the end of the prefix isn't an error.
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      sound = middle;
    } catch {
      broken = middle;
    }
  }
  // Up to three bytes before that may have begun the sequence that breaks.
  return Buffer.byteLength(
    new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(0, sound), { stream: true }),
  );
}
