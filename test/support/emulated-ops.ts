/** The emulated CUDA kernels beside those of the CPU: the same private operators under two names. */

import type { NativeOpTensor } from '../../lib/native/binding.js';
import { buildEmulatedOps, loadEmulated, THREAD_ORDERS } from './cuda-emulator.js';
import { addon, numbers } from './native.js';

export type OpArgs = Parameters<typeof addon._callOp>[1];

let loaded: Promise<void> | undefined;

/** Builds and loads the kernels, once per process. */
export function loadEmulatedOps(): Promise<void> {
  loaded ??= buildEmulatedOps('plain').then(loadEmulated);
  return loaded;
}

/** A private operator of the CPU, by its name without the leading _. */
export const onCpu = (name: string, args: OpArgs) => addon._callOp(`albert_ner::_${name}`, args).outputs;

/** The same by its CUDA kernels, in the order of threads set last. */
export const emulated = (name: string, args: OpArgs): (NativeOpTensor | null)[] =>
  addon._callOp(`albert_ner_emulated::_${name}`, args).outputs;

export function setThreadOrder(order: number): void {
  addon._callOp('albert_ner_emulated::set_thread_order', [order]);
}

/** How often the host waited for the stand-in of a GPU since the last call; 0 where it isn't loaded. */
export function takeWaits(): number {
  if (loaded === undefined) return 0;
  return Number(numbers(addon._callOp('albert_ner_emulated::take_waits', []).outputs[0])[0]);
}

const bits = (value: NativeOpTensor | null) =>
  value && Buffer.from(value.data.buffer, value.data.byteOffset, value.data.byteLength).toString('hex');

/** What `compute` gives in every order of threads, which must be the same to the bit. */
export function inEveryOrder(compute: () => (NativeOpTensor | null)[]): (NativeOpTensor | null)[] {
  const [first, ...others] = THREAD_ORDERS.map((_, order) => {
    setThreadOrder(order);
    return compute();
  });
  for (const [index, other] of others.entries()) {
    other.forEach((value, k) => {
      if (bits(value) !== bits(first[k])) {
        throw new Error(`Output ${k} has other bits when threads run ${THREAD_ORDERS[index + 1]}`);
      }
    });
  }
  return first;
}

/** The largest difference between two tensors, relative to the largest value but at least to 1. */
export function relativeDifference(actual: NativeOpTensor | null, expected: NativeOpTensor | null): number {
  const wanted = numbers(expected);
  const got = numbers(actual);
  if (got.length !== wanted.length) throw new Error(`${got.length} values but ${wanted.length} expected`);
  let largest = 1;
  let difference = 0;
  wanted.forEach((value, k) => {
    if (Object.is(value, got[k]) || value === got[k]) return;
    if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
    const here = Math.abs(value - got[k]);
    if (!(here <= difference)) difference = here;
  });
  return difference / largest;
}
