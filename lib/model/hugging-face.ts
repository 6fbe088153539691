/** Whether transformers' own AlbertModel computes what an encoder of ours computes, given its folder. */

import type { EncoderConfig } from '../../albert/encoder-config.js';

/** Null when it does, else why not. */
export function huggingFaceProblem({ layout, layerNormPlacement }: EncoderConfig): string | null {
  if (layout === 'bright') {
    return (
      "transformers' AlbertModel can't load the bright layout: it adds positions and types in the embedding width before " +
      'the projection to the hidden width, this encoder adds them in the hidden width after it; albert-ner runs both'
    );
  }
  if (layerNormPlacement === 'pre') {
    return "transformers' AlbertModel can't load it: its layer norms stand behind the blocks, those of this encoder before them";
  }
  return null;
}
