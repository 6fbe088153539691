/** Writes a model that training came to as a model directory: weights, description, vocabulary and card. */

import type { WritableTensor } from '../../albert/convert/safetensors.js';
import { type Config, STORED_DTYPES } from '../config/schema.js';
import type { EntityReport } from '../evaluation/entity-f1.js';
import { modelCard } from '../model/model-card.js';
import {
  ENCODER_PREFIX,
  type ModelDescription,
  NGRAM_KEYS,
  writeModelDirectory,
} from '../model/model-directory.js';
import type { NativeTensor } from '../native/binding.js';
import type { PreparedRun } from './prepare.js';

export interface ModelTensors {
  encoder: readonly NativeTensor[];
  head: readonly NativeTensor[];
  /** [R], empty when the head has no n-grams. */
  ngramKeys: Int32Array;
}

export interface Progress {
  /** Dev scores by corpus. */
  reports: ReadonlyMap<string, EntityReport>;
  epoch: number;
  step: number;
}

export async function publishModel(
  directory: string,
  { config, encoder, corpora, tagSet, text }: PreparedRun,
  tensors: ModelTensors,
  { reports, epoch, step }: Progress,
): Promise<void> {
  const description = {
    encoder: encoder.config,
    head: headOf(config),
    labels: [...tagSet.labels],
    scheme: tagSet.scheme,
    text,
    scores: reports.size > 0 ? Object.fromEntries(reports) : null,
    training: {
      epoch,
      step,
      seed: config.seed,
      fineTuned: config.train.tunedLayers > 0,
      corpora: corpora.map(({ name, train, dev }) => ({ name, train: train.length, dev: dev.length })),
    },
  };
  await writeModelDirectory(directory, {
    description,
    vocab: encoder.vocab,
    tensors: [
      ...tensors.encoder.map((tensor) => ({ ...tensor, name: ENCODER_PREFIX + tensor.name })),
      ...tensors.head,
      ...ngramKeyTensors(tensors.ngramKeys),
    ],
    dtype: STORED_DTYPES[config.storage],
    card: modelCard(description),
  });
}

/** The head as model.json describes it. */
export function headOf({ hiddenSize, dropout, layer, ngrams }: Config): ModelDescription['head'] {
  return { hiddenSize: hiddenSize / 2, dropout, layer, ngramWidth: ngrams.size > 0 ? ngrams.width : 0 };
}

function ngramKeyTensors(keys: Int32Array): WritableTensor[] {
  return keys.length > 0 ? [{ name: NGRAM_KEYS, shape: [keys.length], data: keys }] : [];
}
