/** A new encoder folder with random weights: what a tagger can be trained on before any pretraining. */

import type { EncoderConfig } from '../../albert/encoder-config.js';
import { writeEncoderFolder } from '../model/encoder-folder.js';
import { openSession } from '../model/load-model.js';
import { nativeEncoderConfig } from '../model/native-config.js';
import type { Vocab } from '../text/vocab.js';

export interface InitEncoderOptions {
  /** Shape; its vocabulary size is replaced by that of `vocab`. */
  config: EncoderConfig;
  vocab: Vocab;
  /** Equal seeds give equal weights. */
  seed: number;
  /** Folder to write. */
  output: string;
}

/** Returns the config written. */
export async function initEncoder({
  config,
  vocab,
  seed,
  output,
}: InitEncoderOptions): Promise<EncoderConfig> {
  const sized: EncoderConfig = { ...config, vocabSize: vocab.size };
  const session = openSession({ device: 'cpu' });
  try {
    await session.initEncoder(nativeEncoderConfig(sized, vocab), seed);
    const tensors = await session.exportTensors('encoder');
    await writeEncoderFolder(output, { config: sized, vocab, tensors });
  } finally {
    await session.dispose();
  }
  return sized;
}
