/** A few numbers that tell whether a converted encoder computes what it should: run natively on sample text. */

import { Tokenizer } from '../text/tokenizer.js';
import { readEncoderFolder } from './encoder-folder.js';
import { type LoadOptions, openSession } from './load-model.js';
import { nativeEncoderConfig } from './native-config.js';

export interface EncoderFingerprint {
  text: string;
  /** Characters with an entry of their own in the vocabulary, and all that were read. */
  known: number;
  units: number;
  /** Width of the hidden states. */
  width: number;
  /** Root mean square of the second-to-last layer's hidden states. */
  rms: number;
  /** Its first values, of the first character. */
  first: number[];
}

/** Common characters, digits and punctuation, so that a vocabulary of another model shows. */
export const SAMPLE_TEXT = '王小明2013年在北京大学工作，后来去了上海。';
const SHOWN = 4;

/** Rejects as `readEncoderFolder` and the addon do. */
export async function encoderFingerprint(
  directory: string,
  options: LoadOptions = {},
  text = SAMPLE_TEXT,
): Promise<EncoderFingerprint> {
  const { config, vocab, weights } = await readEncoderFolder(directory);
  const { ids } = new Tokenizer(vocab).tokenize(text);
  const kept = ids.slice(0, config.maxPosition - 2);
  const session = openSession({ device: 'cpu', ...options });
  try {
    await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
    const hidden = await session.encode({
      ids: Int32Array.from(kept),
      offsets: Int32Array.of(0, kept.length),
    });
    const squares = hidden.reduce((sum, value) => sum + value * value, 0);
    return {
      text,
      known: kept.filter((id) => id !== vocab.unkId).length,
      units: kept.length,
      width: config.hiddenSize,
      rms: Math.sqrt(squares / hidden.length),
      first: [...hidden.subarray(0, SHOWN)],
    };
  } finally {
    await session.dispose();
  }
}
