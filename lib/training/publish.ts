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
  /** Dev scores, null without dev data. */
  report: EntityReport | null;
  epoch: number;
  step: number;
}

export async function publishModel(
  directory: string,
  { config, encoder, train, dev, tagSet, text }: PreparedRun,
  tensors: ModelTensors,
  { report, epoch, step }: Progress,
): Promise<void> {
  const sizes = { trainSentences: train.sentences.length, devSentences: dev?.sentences.length ?? 0 };
  const description = {
    formatVersion: 1 as const,
    encoder: encoder.config,
    head: { hiddenSize: config.hiddenSize / 2, dropout: config.dropout },
    labels: [...tagSet.labels],
    scheme: tagSet.scheme,
    text,
    scores: report ? { dev: report } : null,
    training: { epoch, step, seed: config.seed, ...sizes },
  };
  await writeModelDirectory(directory, {
    description,
    vocab: encoder.vocab,
    tensors: [
      ...tensors.encoder.map((tensor) => ({ ...tensor, name: ENCODER_PREFIX + tensor.name })),
      ...tensors.head,
    ],
    card: modelCard({ description, report, ...sizes }),
  });
}
