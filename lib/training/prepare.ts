/**
 * Everything a run needs before its first step: corpora, tags, encoder, examples, and the identity by which a resumed
 * run is recognised. Reads files; makes no native call.
 */

import { createHash } from 'node:crypto';
import { basename, dirname, extname } from 'node:path';
import type { Config, CorpusConfig } from '../config/schema.js';
import { readCorpus } from '../data/corpus.js';
import { type Example, toExamples } from '../data/examples.js';
import type { CorpusWarning, LabelledSentence } from '../data/sentences.js';
import { AlbertNerError } from '../errors.js';
import { TagSet } from '../labels/scheme.js';
import { type EncoderFolder, readEncoderFolder } from '../model/encoder-folder.js';
import type { TextOptions } from '../model/packing.js';
import { Tokenizer } from '../text/tokenizer.js';

/** [CLS] and [SEP] */
const SPECIAL_UNITS = 2;

export interface RunInputs {
  config: Config;
  /** Encoder folder. */
  encoder: string;
}

/** A corpus as the run uses it. */
export interface PreparedCorpus {
  name: string;
  train: LabelledSentence[];
  /** Without dev sentences the corpus has no part in choosing the best model. */
  dev: LabelledSentence[];
  /** The labels its annotation can be scored on. */
  labels: string[];
  /** [K]: tags a unit tagged O may have as well; null when its annotation is complete. */
  openTags: Uint8Array | null;
}

/** An example and the corpus it is from. */
export interface PreparedExample extends Example {
  corpus: number;
}

export interface PreparedRun {
  config: Config;
  encoder: EncoderFolder;
  corpora: PreparedCorpus[];
  /** Training sentences left out because another corpus's dev part, or an earlier corpus, holds the same text. */
  overlap: number;
  /** Of all corpora. */
  warnings: CorpusWarning[];
  tagSet: TagSet;
  text: TextOptions;
  /**
   * Training sequences of at most `text.maxUnits` units, those of a repeated corpus several times; sentences without
   * units give none.
   */
  examples: PreparedExample[];
  identity: Record<string, unknown>;
}

export async function prepareRun({ config, encoder: folder }: RunInputs): Promise<PreparedRun> {
  const encoder = await readEncoderFolder(folder);
  checkAgainstEncoder(config, encoder, folder);
  checkEpochs(config.train);
  const { corpora: wanted } = config.train;
  const read = await Promise.all(wanted.map((corpus) => readParts(corpus, config.tags ?? undefined)));
  const labels = config.tags ?? [...new Set(read.flatMap((parts) => parts.labels))].sort();
  if (labels.length === 0) throw withoutEntities(wanted);
  const tagSet = new TagSet(labels, config.scheme);
  const names = corpusNames(wanted);
  const corpora = read.map(({ train, dev }, index): PreparedCorpus => {
    const { unannotated } = wanted[index];
    const others = read.filter((_, other) => other !== index);
    const taken = new Set(others.flatMap(({ dev }) => dev.map(({ text }) => text)));
    read.slice(0, index).forEach((earlier, number) => {
      if (!standsFor(wanted[number], wanted[index])) return;
      for (const { text } of earlier.train) taken.add(text);
    });
    checkUnannotated(unannotated, tagSet, names[index]);
    return {
      name: names[index],
      train: train.filter(({ text }) => !taken.has(text)),
      dev,
      labels: tagSet.labels.filter((label) => !unannotated.includes(label)),
      openTags: unannotated.length === 0 ? null : openTags(tagSet, unannotated),
    };
  });
  const count = (parts: readonly { train: unknown[] }[]) =>
    parts.reduce((sum, { train }) => sum + train.length, 0);
  const text = { maxUnits: config.maxLength - SPECIAL_UNITS, margin: config.windowMargin };
  const tokenizer = new Tokenizer(encoder.vocab);
  const examples = corpora.flatMap(({ train }, corpus) => {
    const once = train
      .flatMap((sentence) => toExamples(sentence, tokenizer, tagSet, text.maxUnits))
      .map((example) => ({ ...example, corpus }));
    return Array.from({ length: wanted[corpus].repeat }, () => once).flat();
  });
  if (examples.length === 0) {
    const file = wanted[0].data;
    throw new AlbertNerError('ERR_INVALID_DATA', `${file} holds no character the encoder can read`, {
      details: { file },
    });
  }
  const identity = await runIdentity(config, encoder, tagSet, { corpora, examples });
  return {
    config,
    encoder,
    corpora,
    overlap: count(read) - count(corpora),
    warnings: read.flatMap(({ warnings }) => warnings),
    tagSet,
    text,
    examples,
    identity,
  };
}

function withoutEntities(corpora: readonly CorpusConfig[]): AlbertNerError {
  const files = corpora.map(({ data }) => data);
  return new AlbertNerError(
    'ERR_INVALID_DATA',
    `Expected entities to learn from but there is none in ${files.join(', ')}`,
    { details: { file: files[0] } },
  );
}

/** Whether a sentence of `earlier` teaches in every epoch, and of every label, what the same one of `later` would. */
function standsFor(earlier: CorpusConfig, later: CorpusConfig): boolean {
  const lasts = (earlier.epochs ?? Number.POSITIVE_INFINITY) >= (later.epochs ?? Number.POSITIVE_INFINITY);
  return lasts && earlier.unannotated.every((label) => later.unannotated.includes(label));
}

/** An epoch nobody takes part in has no loss and no steps. */
function checkEpochs({ corpora, epochs }: Config['train']): void {
  const longest = Math.max(...corpora.map((corpus) => corpus.epochs ?? Number.POSITIVE_INFINITY));
  if (corpora.length === 0 || longest >= epochs) return;
  throw new AlbertNerError(
    'ERR_INVALID_CONFIG',
    `Expected a corpus that takes part in all ${epochs} epochs but received none beyond epoch ${longest}`,
    { details: { option: 'train.corpora' } },
  );
}

interface CorpusParts {
  train: LabelledSentence[];
  dev: LabelledSentence[];
  /** Labels of the training part. */
  labels: string[];
  warnings: CorpusWarning[];
}

async function readParts(
  { data, dev: devPath, devEvery, format, labels: rename }: CorpusConfig,
  labels: readonly string[] | undefined,
): Promise<CorpusParts> {
  const options = { format, labels, rename };
  const whole = await readCorpus(data, options);
  if (devPath !== null) {
    const dev = await readCorpus(devPath, options);
    const warnings = [...whole.warnings, ...dev.warnings];
    return { train: whole.sentences, dev: dev.sentences, labels: whole.labels, warnings };
  }
  const isDev = (index: number) => devEvery !== null && index % devEvery === devEvery - 1;
  return {
    train: whole.sentences.filter((_, index) => !isDev(index)),
    dev: whole.sentences.filter((_, index) => isDev(index)),
    labels: whole.labels,
    warnings: whole.warnings,
  };
}

/** Given names, or the file's or its folder's where that says more; numbered when they aren't different. */
function corpusNames(corpora: readonly CorpusConfig[]): string[] {
  const names = corpora.map(({ name, data }) => {
    if (name !== null) return name;
    const stem = basename(data, extname(data));
    return /^(train|source|data)\b/.test(stem) ? basename(dirname(data)) || stem : stem;
  });
  return names.map((name, index) => (names.indexOf(name) === index ? name : `${name}-${index + 1}`));
}

function checkUnannotated(labels: readonly string[], tagSet: TagSet, corpus: string): void {
  const unknown = labels.find((label) => !tagSet.labels.includes(label));
  if (unknown === undefined) return;
  throw new AlbertNerError(
    'ERR_INVALID_CONFIG',
    `Expected labels of the model (${tagSet.labels.join(', ')}) for unannotated of ${corpus} but received ${unknown}`,
    { details: { option: 'train.corpora' } },
  );
}

/** [K]: O's alternatives where these labels aren't annotated. */
function openTags(tagSet: TagSet, labels: readonly string[]): Uint8Array {
  return Uint8Array.from(tagSet.labelIndexes, (label) =>
    label >= 0 && labels.includes(tagSet.labels[label]) ? 1 : 0,
  );
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
 * What two runs must share to take the same steps. Left out: the number of epochs, the patience and which model is kept
 * or averaged, so that a run can be prolonged; the text for n-grams, which only the start reads; device and threads, which only move last bits (the trainer adds the precision that comes with a device); names of files, whose content is hashed instead.
 */
async function runIdentity(
  config: Config,
  encoder: EncoderFolder,
  tagSet: TagSet,
  data: Pick<PreparedRun, 'corpora' | 'examples'>,
): Promise<Record<string, unknown>> {
  const { hiddenSize, dropout, layer, ngrams, batchSize, maxLength, windowMargin, scheme, seed, train } =
    config;
  const { corpora: wanted } = train;
  return {
    encoder: encoder.sha256,
    data: hashData(data),
    corpora_epochs: wanted.map(({ epochs }) => epochs),
    corpora_ngrams: wanted.map(({ ngrams }) => ngrams),
    tags: tagSet.labels,
    scheme,
    hidden_size: hiddenSize,
    dropout,
    layer,
    ngrams: without(ngrams, 'text'),
    batch_size: batchSize,
    max_length: maxLength,
    window_margin: windowMargin,
    seed,
    train: without(train, 'corpora', 'epochs', 'patience', 'keep', 'averageRatio', 'precision'),
  };
}

function without<T, K extends keyof T>(settings: T, ...keys: K[]): Omit<T, K> {
  const rest = { ...settings };
  for (const key of keys) delete rest[key];
  return rest;
}

function hashData({ corpora, examples }: Pick<PreparedRun, 'corpora' | 'examples'>): string {
  const hash = createHash('sha256');
  for (const { openTags: open } of corpora) hash.update(`${open?.join('') ?? ''}\n`);
  for (const { ids, tags, corpus } of examples) {
    hash.update(`${ids.length} ${corpus} `).update(bytesOf(ids)).update(bytesOf(tags));
  }
  return hash.digest('hex');
}

function bytesOf(values: Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
