/** float32 to IEEE 754 half precision, rounding to nearest even: how compact weights are stored. */

const bits32 = new Uint32Array(1);
const value32 = new Float32Array(bits32.buffer);

/** Bits of the half nearest to each value; beyond the largest half it is infinity. */
export function toFloat16(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, halfBits);
}

function halfBits(value: number): number {
  value32[0] = value;
  const bits = bits32[0];
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 0xff;
  const fraction = bits & 0x7fffff;
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200);
  const half = exponent - 127 + 15;
  if (half >= 0x1f) return sign | 0x7c00;
  // Below the smallest normal half the fraction gets its hidden bit and moves right.
  if (half < -10) return sign;
  const shift = half > 0 ? 13 : 14 - half;
  const whole = half > 0 ? fraction : fraction | 0x800000;
  const kept = (half > 0 ? half << 10 : 0) + (whole >>> shift);
  const rest = whole & ((1 << shift) - 1);
  const middle = 1 << (shift - 1);
  // A carry out of the fraction raises the exponent, as it should.
  return sign | (kept + (rest > middle || (rest === middle && (kept & 1) === 1) ? 1 : 0));
}
