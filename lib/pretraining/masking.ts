/**
 * Masked language model input (Devlin et al. 2019, section 3.1) with n-gram masking (Lan et al. 2020, section 4.1):
 * spans of one to three units, of which 80 % become [MASK], 10 % random units and 10 % stay; a span shares its fate.
 */

import type { Random } from '../random.js';
import type { Vocab } from '../text/vocab.js';

const MAX_SPAN = 3;
const MASK_SHARE = 0.8;
const RANDOM_SHARE = 0.1;

export interface MaskingOptions {
  vocab: Vocab;
  random: Random;
  /** Of the units to choose, 0.15 in the papers. */
  share: number;
}

/** Lengths 1 to 3 with probabilities in proportion to 1, 1/2 and 1/3. */
function spanLength(random: Random): number {
  const total = 1 + 1 / 2 + 1 / 3;
  let left = random.next() * total;
  for (let length = 1; length < MAX_SPAN; length += 1) {
    left -= 1 / length;
    if (left < 0) return length;
  }
  return MAX_SPAN;
}

/**
 * Chooses a share of the units of ids[from, to), at least one, and overwrites them in place. Returns the chosen
 * places in ascending order; what stood there must be saved by the caller before.
 */
export function maskUnits(
  ids: Int32Array,
  { from, to }: { from: number; to: number },
  { vocab, random, share }: MaskingOptions,
): number[] {
  const wanted = Math.max(1, Math.round((to - from) * share));
  const chosen = new Set<number>();
  // A bound on the tries: in a very short text the last spans may not fit.
  for (let tries = 0; chosen.size < wanted && tries < 20 * wanted; tries += 1) {
    const length = Math.min(spanLength(random), wanted - chosen.size);
    const start = from + random.int(to - from);
    const places = Array.from({ length }, (_, offset) => start + offset);
    if (places.some((place) => place >= to || chosen.has(place))) continue;
    const fate = random.next();
    for (const place of places) {
      chosen.add(place);
      if (fate < MASK_SHARE) ids[place] = vocab.maskId;
      else if (fate < MASK_SHARE + RANDOM_SHARE) {
        ids[place] = vocab.firstOrdinaryId + random.int(vocab.size - vocab.firstOrdinaryId);
      }
    }
  }
  return [...chosen].sort((a, b) => a - b);
}
