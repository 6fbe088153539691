/** The addon, settings for it, and tensors for its test-only operator bridge. */

import type { ExecutionContext } from 'ava';
import { toFloat16 } from '../../albert/convert/float16.js';
import {
  type LoadedSafetensors,
  loadSafetensors,
  writeSafetensors,
} from '../../albert/convert/safetensors.js';
import type {
  NativeCancelToken,
  NativeOpTensor,
  NativeTensor,
  NativeTensorFile,
} from '../../lib/native/binding.js';
import { loadNative } from '../../lib/native/load.js';
import type { Random } from '../../lib/random.js';
import { until } from './clock.js';

export const addon = loadNative();

/** An optimizer as it is usually set. */
export const ADAMW = {
  kind: 'adamw',
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
  clipNorm: 1,
} as const;

export type Dtype = 'float32' | 'float64';

export function tensor(shape: number[], values: ArrayLike<number>, dtype: Dtype = 'float64'): NativeOpTensor {
  const data = dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values);
  return { dtype, shape, data };
}

export function int32(values: ArrayLike<number>, shape: number[] = [values.length]): NativeOpTensor {
  return { dtype: 'int32', shape, data: Int32Array.from(values) };
}

export function int64(values: ArrayLike<number>): NativeOpTensor {
  return { dtype: 'int64', shape: [values.length], data: BigInt64Array.from(Array.from(values), BigInt) };
}

export function numbers(value: NativeOpTensor | null): number[] {
  if (value === null) throw new Error('Expected a tensor but received none');
  return Array.from(value.data as Float64Array, Number);
}

/** The halves nearest to the values. */
export function float16(shape: number[], values: Float32Array): NativeOpTensor {
  return { dtype: 'float16', shape, data: toFloat16(values) };
}

/** Writes tensors as a session exports them, as it loads them. */
export async function writeTensors(
  path: string,
  tensors: readonly NativeTensor[],
): Promise<NativeTensorFile> {
  await writeSafetensors(path, tensors);
  return (await loadSafetensors(path)) as LoadedSafetensors & NativeTensorFile;
}

/** Normal numbers by Box and Muller. */
export function normals(random: Random, count: number, deviation = 1): number[] {
  return Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
    return deviation * radius * Math.cos(2 * Math.PI * random.next());
  });
}

export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} values but ${expected.length} expected`);
  let largest = 0;
  for (let k = 0; k < actual.length; k += 1) {
    const difference = Math.abs(actual[k] - expected[k]);
    if (!(difference <= largest)) largest = actual[k] === expected[k] ? largest : difference;
  }
  return largest;
}

/** A call that has started and waits, until its token is released or cancelled. */
export interface HeldCall<T> {
  token: NativeCancelToken;
  result: Promise<T>;
}

/** Starts a call that takes a token; resolves when the session's thread works on its first batch. */
export async function heldCall<T>(
  t: ExecutionContext,
  start: (token: NativeCancelToken) => Promise<T>,
): Promise<HeldCall<T>> {
  // A call polls when it starts and before each batch.
  const polls = 2;
  const token = new addon.CancelToken(polls);
  t.teardown(() => token._release());
  const result = start(token);
  await until(() => token._polls() === polls);
  return { token, result };
}

/** Error code of a synchronous call, or "none". */
export function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
  return 'none';
}
