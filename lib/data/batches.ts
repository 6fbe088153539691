/** Batches of sequences of similar length, in an order that depends on seed and epoch only. */

import { createRandom, mixSeed } from '../random.js';

export interface BatchOptions {
  /** Sequences per batch; the last ones may be smaller. */
  batchSize: number;
  seed: number;
  epoch: number;
  /** The sequences that take part, as indexes into `lengths`; default all. */
  chosen?: Int32Array;
}

/** Batches sorted together: enough to fill them with like lengths, few enough to keep the epochs different. */
const BATCHES_PER_POOL = 50;

/** Every chosen sequence with at least one unit exactly once; the numbers are indexes into `lengths`. */
export function planBatches(
  lengths: Int32Array,
  { batchSize, seed, epoch, chosen = Int32Array.from(lengths.keys()) }: BatchOptions,
): Int32Array[] {
  const random = createRandom(mixSeed(seed, epoch));
  const order = chosen.filter((index) => lengths[index] > 0);
  random.shuffle(order);
  const batches: Int32Array[] = [];
  for (let first = 0; first < order.length; first += batchSize * BATCHES_PER_POOL) {
    const pool = order.subarray(first, first + batchSize * BATCHES_PER_POOL);
    pool.sort((a, b) => lengths[b] - lengths[a] || a - b);
    for (let start = 0; start < pool.length; start += batchSize) {
      batches.push(pool.slice(start, start + batchSize));
    }
  }
  return random.shuffle(batches);
}

/** How many batches `planBatches` makes. */
export function countBatches(lengths: Int32Array, chosen: Int32Array, batchSize: number): number {
  return Math.ceil(chosen.filter((index) => lengths[index] > 0).length / batchSize);
}
