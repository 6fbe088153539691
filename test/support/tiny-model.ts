/** A small encoder and a tagger trained on the sample corpus in seconds: enough to find the entities it was shown. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncoderConfig } from '../../albert/encoder-config.js';
import { loadConfig } from '../../lib/config/load-config.js';
import type { Config } from '../../lib/config/schema.js';
import { writeConll } from '../../lib/data/read-conll.js';
import { generateSampleCorpus } from '../../lib/data/sample-corpus.js';
import type { EntityReport } from '../../lib/evaluation/entity-f1.js';
import { type BuildVocabOptions, VocabBuilder } from '../../lib/text/build-vocab.js';
import type { Vocab } from '../../lib/text/vocab.js';
import { initEncoder } from '../../lib/training/init-encoder.js';
import { type TrainOptions, type TrainResult, train } from '../../lib/training/trainer.js';

export const TINY_ENCODER: EncoderConfig = {
  layout: 'google',
  vocabSize: 0,
  embeddingSize: 32,
  hiddenSize: 48,
  layerCount: 2,
  groupCount: 1,
  headCount: 4,
  intermediateSize: 96,
  activation: 'gelu_erf',
  layerNormPlacement: 'post',
  layerNormEps: 1e-12,
  initializerRange: 0.02,
  maxPosition: 128,
  typeVocabSize: 2,
};

export interface TinyFiles {
  encoder: string;
  trainData: string;
  devData: string;
}

/** Writes encoder and corpora into `folder`. */
export async function writeTinyFiles(folder: string): Promise<TinyFiles> {
  await mkdir(folder, { recursive: true });
  const parts = { train: 400, dev: 60 } as const;
  const texts: string[] = [];
  for (const part of ['train', 'dev'] as const) {
    const corpus = generateSampleCorpus({ seed: 7, sentences: parts[part], part });
    texts.push(...corpus.map((sentence) => sentence.text));
    await writeFile(join(folder, `${part}.txt`), writeConll(corpus));
  }
  const files = {
    encoder: join(folder, 'encoder'),
    trainData: join(folder, 'train.txt'),
    devData: join(folder, 'dev.txt'),
  };
  await initEncoder({ config: TINY_ENCODER, vocab: buildVocab(texts), seed: 3, output: files.encoder });
  return files;
}

/** Settings of a short run; `set` as on the command line. */
export async function tinyConfig(...set: string[]): Promise<Config> {
  const defaults = [
    'max_length=64',
    'hidden_size=32',
    'batch_size=8',
    'dropout=0.1',
    'threads=1',
    'device=cpu',
  ];
  const training = ['train.epochs=8', 'train.learning_rate=0.03', 'window_margin=8'];
  const { config } = await loadConfig({ set: [...defaults, ...training, ...set] });
  return config;
}

export interface TinyTraining extends Partial<Omit<TrainOptions, 'encoder'>> {
  /** null: none. */
  devData?: string | null;
}

/** Trains on tiny files. */
export async function trainOn(
  files: TinyFiles,
  { devData = files.devData, ...options }: TinyTraining & { output: string },
): Promise<TrainResult> {
  const config = options.config ?? (await tinyConfig());
  const corpora = [
    {
      name: 'tiny',
      data: files.trainData,
      dev: devData,
      devEvery: null,
      format: 'auto' as const,
      labels: {},
      ngrams: true,
      unannotated: [],
      repeat: 1,
      epochs: null,
    },
  ];
  return train({
    ...options,
    encoder: files.encoder,
    config: { ...config, train: { ...config.train, corpora } },
  });
}

/** Trains a model into `folder`/model on files written there. `report` is that on the dev data. */
export async function trainTinyModel(
  folder: string,
  options: TinyTraining = {},
): Promise<TrainResult & { files: TinyFiles; report: EntityReport }> {
  const files = await writeTinyFiles(folder);
  const result = await trainOn(files, { output: join(folder, 'model'), ...options });
  return { ...result, files, report: result.reports.tiny };
}

export function buildVocab(texts: Iterable<string>, options?: BuildVocabOptions): Vocab {
  const builder = new VocabBuilder();
  for (const text of texts) builder.add(text);
  return builder.build(options);
}
