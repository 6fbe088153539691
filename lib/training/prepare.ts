/**
 * Everything a run needs before its first step: corpora, tags, encoder, examples, and the identity by which a resumed
 * run is recognised. Reads files; makes no native call.
 */

import { createHash } from 'node:crypto';
import type { Config } from '../config/schema.js';
import { type Corpus, readCorpus } from '../data/corpus.js';
import { type Example, toExamples } from '../data/examples.js';
import { AlbertNerError } from '../errors.js';
import { sha256File } from '../files.js';
import { TagSet } from '../labels/scheme.js';
import { type EncoderFolder, readEncoderFolder } from '../model/encoder-folder.js';
import type { TextOptions } from '../model/packing.js';
import { Tokenizer } from '../text/tokenizer.js';

/** [CLS] and [SEP] */
const SPECIAL_UNITS = 2;

export interface RunInputs {
  config: Config;
  /** Corpus files; dev may be absent, then the last epoch counts as the best. */
  trainData: string;
  devData?: string;
  /** Encoder folder. */
  encoder: string;
}

export interface PreparedRun {
  config: Config;
  encoder: EncoderFolder;
  train: Corpus;
  dev: Corpus | null;
  tagSet: TagSet;
  text: TextOptions;
  /** Training sequences of at most `text.maxUnits` units; sentences without units give none. */
  examples: Example[];
  identity: Record<string, unknown>;
}

export async function prepareRun({
  config,
  trainData,
  devData,
  encoder: folder,
}: RunInputs): Promise<PreparedRun> {
  const encoder = await readEncoderFolder(folder);
  checkAgainstEncoder(config, encoder, folder);
  const { format } = config.train;
  const labels = config.tags ?? undefined;
  const train = await readCorpus(trainData, { format, labels });
  const dev = devData === undefined ? null : await readCorpus(devData, { format, labels });
  const tagSet = new TagSet(labels ?? train.labels, config.scheme);
  const text = { maxUnits: config.maxLength - SPECIAL_UNITS, margin: config.windowMargin };
  const tokenizer = new Tokenizer(encoder.vocab);
  const examples = train.sentences.flatMap((sentence) =>
    toExamples(sentence, tokenizer, tagSet, text.maxUnits),
  );
  if (examples.length === 0) {
    throw new AlbertNerError('ERR_INVALID_DATA', `${trainData} holds no character the encoder can read`, {
      details: { file: trainData },
    });
  }
  const identity = await runIdentity(config, encoder, tagSet, examples);
  return { config, encoder, train, dev, tagSet, text, examples, identity };
}

function checkAgainstEncoder(
  config: Config,
  { config: { hiddenSize, maxPosition } }: EncoderFolder,
  folder: string,
) {
  if (config.embeddingSize !== null && config.embeddingSize !== hiddenSize) {
    throw new AlbertNerError(
      'ERR_INVALID_CONFIG',
      `Expected embedding_size ${hiddenSize}, the width of the encoder in ${folder}, but received ${config.embeddingSize}`,
      { details: { option: 'embedding_size' } },
    );
  }
  if (config.maxLength > maxPosition) {
    throw new AlbertNerError(
      'ERR_INVALID_CONFIG',
      `Expected max_length of at most ${maxPosition}, the encoder's positions, but received ${config.maxLength}`,
      { details: { option: 'max_length' } },
    );
  }
}

/**
 * What two runs must share to take the same steps. Left out: the number of epochs and the patience, so that a run can
 * be prolonged; device and threads, which only move last bits; names of files, whose content is hashed instead.
 */
async function runIdentity(
  config: Config,
  encoder: EncoderFolder,
  tagSet: TagSet,
  examples: readonly Example[],
): Promise<Record<string, unknown>> {
  const { hiddenSize, dropout, batchSize, maxLength, windowMargin, scheme, seed, train } = config;
  const { optimizer, learningRates, weightDecay, clipNorm, warmupRatio, decay, evalEverySteps } = train;
  return {
    encoder: await sha256File(encoder.weights.path),
    data: hashExamples(examples),
    tags: tagSet.labels,
    scheme,
    hidden_size: hiddenSize,
    dropout,
    batch_size: batchSize,
    max_length: maxLength,
    window_margin: windowMargin,
    seed,
    train: { optimizer, learningRates, weightDecay, clipNorm, warmupRatio, decay, evalEverySteps },
  };
}

function hashExamples(examples: readonly Example[]): string {
  const hash = createHash('sha256');
  for (const { ids, tags } of examples) {
    hash.update(`${ids.length} `).update(bytesOf(ids)).update(bytesOf(tags));
  }
  return hash.digest('hex');
}

function bytesOf(values: Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
