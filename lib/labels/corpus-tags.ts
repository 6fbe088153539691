/** The tags of a whole corpus: its scheme first, since that decides what a single tag means. */

import { isVisible } from '../text/visible.js';
import { type CorpusScheme, detectScheme, parseTag } from './scheme.js';
import { type DecodedTags, decodeTags } from './spans.js';

export type { CorpusScheme, DecodedTags };

export interface CorpusTags {
  scheme: CorpusScheme;
  /** Spans of sequence `index`, in token positions. */
  decode: (index: number) => DecodedTags;
}

/** Throws what `onBadTag` makes for the first tag that doesn't parse, or whose label has characters that can't be seen. */
export function decodeCorpusTags(
  sequences: readonly (readonly string[])[],
  onBadTag: (index: number, position: number) => Error,
): CorpusTags {
  const sound = new Set<string>();
  sequences.forEach((tags, index) => {
    tags.forEach((tag, position) => {
      if (sound.has(tag)) return;
      if (!isSound(tag)) throw onBadTag(index, position);
      sound.add(tag);
    });
  });
  const scheme = detectScheme(sequences);
  return {
    scheme,
    decode: (index) => decodeTags(sequences[index], { startsInside: scheme === 'IOB1' || scheme === 'IOE' }),
  };
}

function isSound(tag: string): boolean {
  const parsed = parseTag(tag);
  return parsed !== undefined && (parsed.label === null || isVisible(parsed.label));
}
