/** bfloat16 as the upper half of a float32, for tensors of the operator bridge. */

import type { NativeOpTensor } from '../../lib/native/binding.js';

/** The nearest bfloat16, of two the even one. */
export function roundToBfloat16(value: number): number {
  const [bits] = new Uint32Array(Float32Array.of(value).buffer);
  const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(Uint32Array.of(rounded).buffer)[0];
}

export function bfloat16(shape: number[], values: readonly number[]): NativeOpTensor {
  const upper = (value: number) => new Uint32Array(Float32Array.of(roundToBfloat16(value)).buffer)[0] >>> 16;
  return { dtype: 'bfloat16', shape, data: Uint16Array.from(values, upper) };
}

export function fromBfloat16(value: NativeOpTensor): number[] {
  return Array.from(value.data as Uint16Array, (upper) => {
    return new Float32Array(Uint32Array.of(upper * 0x10000).buffer)[0];
  });
}
