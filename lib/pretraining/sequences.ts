/**
 * Documents cut into training sequences: two consecutive segments A and B with the special tokens around them, half of
 * them swapped for the sentence-order task (Lan et al. 2020, section 3.1). A document is cut without gap or overlap at
 * lengths that vary from epoch to epoch, at ends of sentences where there are any; most sequences are as long as allowed,
 * some are short.
 */

import { createRandom } from '../random.js';
import type { TokenPart } from './token-store.js';

/** [CLS] A [SEP] B [SEP] */
const SPECIAL_UNITS = 3;
/** Share of sequences with a random shorter length, as BERT has it. */
const SHORT_SHARE = 0.1;
/** What is shorter teaches little. */
const MIN_UNITS = 8;

/** A sequence to be: units [start, end) of a part; A is [start, split), B the rest, empty when split = end. */
export interface PlannedSequence {
  start: number;
  split: number;
  end: number;
  /** Whether B comes before A. */
  swapped: boolean;
}

export interface PlanOptions {
  /** Units of a sequence, special tokens included. */
  maxLength: number;
  /** Equal seeds give equal plans. */
  seed: number;
  /** Whether a unit with this id ends a sentence: where A may end. */
  endsSentence: (id: number) => boolean;
}

/** Every sequence of a part, shuffled. */
export function planSequences(
  part: TokenPart,
  { maxLength, seed, endsSentence }: PlanOptions,
): PlannedSequence[] {
  const random = createRandom(seed);
  const planned: PlannedSequence[] = [];
  const full = maxLength - SPECIAL_UNITS;
  for (let document = 0; document + 1 < part.offsets.length; document += 1) {
    const end = part.offsets[document + 1];
    for (let start = part.offsets[document]; end - start >= MIN_UNITS; ) {
      const short = random.next() < SHORT_SHARE;
      const length = short ? MIN_UNITS + random.int(full - MIN_UNITS + 1) : full;
      const stop = sequenceEnd(part.ids, start, Math.min(end, start + length), end, endsSentence);
      const wish = start + 1 + random.int(stop - start - 1);
      const split = splitPoint(part.ids, start, stop, wish, endsSentence);
      planned.push({ start, split, end: stop, swapped: random.next() < 0.5 });
      start = stop;
    }
  }
  return random.shuffle(planned);
}

/**
 * The last sentence end in the second half of [start, limit), exclusive, else `limit`. Sequences begin and end where
 * sentences do, or the order of two segments could be told from how they end.
 */
function sequenceEnd(
  ids: Uint16Array,
  start: number,
  limit: number,
  documentEnd: number,
  endsSentence: (id: number) => boolean,
): number {
  if (limit === documentEnd) return limit;
  for (let stop = limit; stop > (start + limit) / 2; stop -= 1) {
    if (endsSentence(ids[stop - 1])) return stop;
  }
  return limit;
}

/** The sentence end nearest to `wish`, exclusive; `stop` when there is none inside: then there is no second segment. */
function splitPoint(
  ids: Uint16Array,
  start: number,
  stop: number,
  wish: number,
  endsSentence: (id: number) => boolean,
): number {
  for (let distance = 0; distance < stop - start; distance += 1) {
    for (const split of [wish - distance, wish + distance]) {
      if (split > start && split < stop && endsSentence(ids[split - 1])) return split;
    }
  }
  return stop;
}
