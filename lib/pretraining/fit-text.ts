/** Passes over a text that fit embeddings to it, shard by shard with a falling learning rate. */

import { withCancelToken } from '../model/cancellation.js';
import type { NativeCancelToken, NativeFitRequest } from '../native/binding.js';
import { loadNative } from '../native/load.js';

const FIRST_RATE = 0.03;
/** Of the first rate, at the end. */
const LAST_SHARE = 0.01;

/** A text in parts, read one at a time. */
export interface TextParts {
  shardCount: number;
  /** Documents one after the other; offsets [documents + 1]. */
  shard(number: number): Promise<{ ids: ArrayLike<number>; offsets: ArrayLike<number> }>;
}

export interface FitOptions {
  passes: number;
  seed: number;
  signal?: AbortSignal;
  /** Shards done, of all passes together. */
  onProgress: (done: number, total: number) => void;
}

export async function fitText(
  text: TextParts,
  learn: (request: NativeFitRequest, cancel?: NativeCancelToken) => Promise<void>,
  { passes, seed, signal, onProgress }: FitOptions,
): Promise<void> {
  const total = passes * text.shardCount;
  const rate = (done: number) => FIRST_RATE * Math.max(1 - done / total, LAST_SHARE);
  for (let done = 0; done < total; done += 1) {
    const { ids, offsets } = await text.shard(done % text.shardCount);
    const request = {
      ids: Int32Array.from(ids),
      offsets: Int32Array.from(offsets),
      firstRate: rate(done),
      lastRate: rate(done + 1),
      seed,
      isLast: done + 1 === total,
    };
    await withCancelToken(loadNative(), signal, (token) => learn(request, token));
    onProgress(done + 1, total);
  }
}
