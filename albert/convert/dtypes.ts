/** Element types of checkpoints under the names safetensors gives them, and the way of floating ones to float32. */

/** Bytes per element. */
const ITEM_SIZES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

/** Bytes per element; undefined for a name that isn't one. */
export function itemSizeOf(dtype: string): number | undefined {
  return Object.hasOwn(ITEM_SIZES, dtype) ? ITEM_SIZES[dtype as keyof typeof ITEM_SIZES] : undefined;
}

export type FloatDtype = 'F16' | 'BF16' | 'F32' | 'F64';

export function isFloat(dtype: string): dtype is FloatDtype {
  return dtype === 'F16' || dtype === 'BF16' || dtype === 'F32' || dtype === 'F64';
}

/** Values of whole little-endian elements. `bytes` must start at a multiple of eight of its buffer. */
export function toValues(bytes: Uint8Array, dtype: FloatDtype): Float32Array | Float64Array {
  const count = bytes.length / ITEM_SIZES[dtype];
  switch (dtype) {
    case 'F32':
      return new Float32Array(bytes.buffer, bytes.byteOffset, count);
    case 'F64':
      return new Float64Array(bytes.buffer, bytes.byteOffset, count);
    case 'F16':
      return fromFloat16(new Uint16Array(bytes.buffer, bytes.byteOffset, count));
    case 'BF16':
      return fromBfloat16(new Uint16Array(bytes.buffer, bytes.byteOffset, count));
  }
}

/** A bfloat16 is the upper half of a float32. */
function fromBfloat16(bits: Uint16Array): Float32Array {
  const values = new Uint32Array(bits.length);
  for (let k = 0; k < bits.length; k += 1) values[k] = bits[k] << 16;
  return new Float32Array(values.buffer);
}

/** The value of each of the halves, made when the first is asked for. */
let halves: Float32Array | null = null;

function fromFloat16(bits: Uint16Array): Float32Array {
  halves ??= Float32Array.from({ length: 1 << 16 }, (_, half) => halfValue(half));
  const values = new Float32Array(bits.length);
  for (let k = 0; k < bits.length; k += 1) values[k] = halves[bits[k]];
  return values;
}

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}
