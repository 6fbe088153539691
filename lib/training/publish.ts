/** Writes the best model so far as a model directory: weights, description, vocabulary and card. */

import type { EntityReport } from '../evaluation/entity-f1.js';
import { modelCard } from '../model/model-card.js';
import { ENCODER_PREFIX, writeModelDirectory } from '../model/model-directory.js';
import type { NativeTensor } from '../native/binding.js';
import type { PreparedRun } from './prepare.js';

export interface ModelTensors {
  encoder: readonly NativeTensor[];
  head: readonly NativeTensor[];
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
    formatVersion: 1 as const,
    encoder: encoder.config,
    head: { hiddenSize: config.hiddenSize / 2, dropout: config.dropout, layer: config.layer },
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
    ],
    dtype: config.storage === 'float16' ? 'F16' : 'F32',
    card: modelCard(description),
  });
}
