/** The tags of a whole corpus: its scheme first, since that decides what a single tag means. */

import { type CorpusScheme, detectScheme, parseTag } from './scheme.js';
import { type DecodedTags, decodeTags } from './spans.js';

export type { CorpusScheme, DecodedTags };

export interface CorpusTags {
  scheme: CorpusScheme;
  /** Spans of sequence `index`, in token positions. */
  decode: (index: number) => DecodedTags;
}

/** Throws what `onBadTag` makes for the first tag that doesn't parse. */
export function decodeCorpusTags(
  sequences: readonly (readonly string[])[],
  onBadTag: (index: number, position: number) => Error,
): CorpusTags {
  sequences.forEach((tags, index) => {
    const position = tags.findIndex((tag) => parseTag(tag) === undefined);
    if (position !== -1) throw onBadTag(index, position);
  });
  const scheme = detectScheme(sequences);
  return {
    scheme,
    decode: (index) => decodeTags(sequences[index], { startsInside: scheme === 'IOB1' || scheme === 'IOE' }),
  };
}
