/**
 * Model directories: model.json, model.safetensors, vocab.txt, config.json and a card, read and written. With its
 * config.json a model directory is an encoder folder as well.
 *
 * model.json and config.json are the commit marks of model and encoder. Files are written aside; then the marks are
 * removed, the others are renamed into place, and the marks last; model.json holds hashes of everything that changes what
 * the model says. A process killed at any moment leaves a whole model or none, never a mixture, and a reader that comes
 * meanwhile gets one model, never parts of two.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  int32Values,
  type LoadedSafetensors,
  loadSafetensors,
  type StoredDtype,
  type TensorInfo,
  type WritableTensor,
  writeSafetensors,
} from '../../albert/convert/safetensors.js';
import { MAX_LAYERS, parseJson } from '../../albert/encoder-config.js';
import { selectEncoderTensors } from '../../albert/name-map.js';
import { MAX_NGRAM_WIDTH } from '../config/schema.js';
import { AlbertNerError } from '../errors.js';
import { readFolder, replaceFiles, sha256Text, writeFileAtomic } from '../files.js';
import { TagSet } from '../labels/scheme.js';
import type { NativeTensorFile } from '../native/binding.js';
import { Vocab } from '../text/vocab.js';
import {
  asNativeEntry,
  CONFIG_FILE,
  DESCRIPTION_FILE,
  FOLDER_MARKS,
  formatEncoderConfig,
  VOCAB_FILE,
  WEIGHTS_FILE,
} from './encoder-folder.js';

const CARD_FILE = 'README.md';
/** Version 1 had no hashes but that of the weights. */
const FORMAT_VERSION = 2;
/** Names of the encoder's tensors in a model directory start with this, as in transformers' task models. */
export const ENCODER_PREFIX = 'albert.';
const HEAD_NAMES = /^(bilstm|classifier|crf|mix|ngrams)\./;
/** Hashes of the n-grams that have a row in ngrams.weight; the addon gets them as part of the head's shape. */
export const NGRAM_KEYS = 'ngrams.keys';

const positiveInteger = z.int().positive();

const encoderSchema = z.strictObject({
  layout: z.enum(['google', 'bright']),
  vocabSize: positiveInteger,
  embeddingSize: positiveInteger,
  hiddenSize: positiveInteger,
  layerCount: positiveInteger.max(MAX_LAYERS),
  groupCount: positiveInteger,
  headCount: positiveInteger,
  intermediateSize: positiveInteger,
  activation: z.enum(['gelu_erf', 'gelu_tanh', 'relu', 'silu']),
  layerNormPlacement: z.enum(['post', 'pre']),
  layerNormEps: z.number().positive(),
  initializerRange: z.number().positive().default(0.02),
  maxPosition: positiveInteger,
  typeVocabSize: positiveInteger,
});

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const descriptionSchema = z.strictObject({
  formatVersion: z.union([z.literal(1), z.literal(FORMAT_VERSION)]),
  encoder: encoderSchema,
  /** hiddenSize is per direction. */
  head: z.strictObject({
    hiddenSize: positiveInteger,
    dropout: z.number().min(0).lt(1),
    /** The encoder's layer the features come from; "mix": a learned mix of all. */
    layer: z.union([z.literal(-2), z.literal(-1), z.literal('mix')]).default(-2),
    /** Of an n-gram's row; 0: none. */
    ngramWidth: z.int().min(0).max(MAX_NGRAM_WIDTH).default(0),
  }),
  /** In the order of the tags' indexes. */
  labels: z.array(z.string().regex(/^\S+$/)).min(1),
  scheme: z.enum(['BIO', 'BIOES']),
  text: z.strictObject({ maxUnits: positiveInteger, margin: z.int().min(0) }),
  /** Scores by the name of the data, as training measured them. */
  scores: z.record(z.string(), z.unknown()).nullable(),
  training: z
    .looseObject({
      fineTuned: z.boolean().optional(),
      corpora: z.array(z.object({ name: z.string(), train: z.int().min(0), dev: z.int().min(0) })).optional(),
    })
    .nullable(),
  weights: z.strictObject({
    file: z.literal(WEIGHTS_FILE),
    sha256,
    bytes: positiveInteger,
  }),
  /** Of all else that changes what the model says; null in version 1. */
  hashes: z.strictObject({ vocab: sha256, labels: sha256, settings: sha256 }).nullable().default(null),
});

/** The content of model.json. */
export type ModelDescription = z.infer<typeof descriptionSchema>;

export interface ModelDirectory {
  description: ModelDescription;
  vocab: Vocab;
  encoderWeights: NativeTensorFile;
  headWeights: NativeTensorFile;
  /** [R], empty when the head has no n-grams. */
  ngramKeys: Int32Array;
}

/**
 * Rejects with ERR_MODEL_NOT_FOUND (no directory, no model.json), ERR_CHECKPOINT_UNREADABLE (damaged, wrong hash),
 * ERR_CHECKPOINT_MISMATCH (format, names, shapes), ERR_LABELS_MISMATCH (labels and weights disagree, or labels were changed).
 */
export async function readModelDirectory(directory: string): Promise<ModelDirectory> {
  return readFolder(directory, DESCRIPTION_FILE, () => readOnce(directory));
}

async function readOnce(directory: string): Promise<ModelDirectory> {
  const file = join(directory, DESCRIPTION_FILE);
  const description = parseDescription(await readDescription(directory), file);
  const vocabFile = join(directory, VOCAB_FILE);
  const vocab = await Vocab.read(vocabFile);
  const weights = await loadSafetensors(join(directory, WEIGHTS_FILE));
  checkWeights(description, weights);
  if (vocab.size > description.encoder.vocabSize) {
    throw new AlbertNerError(
      'ERR_CHECKPOINT_MISMATCH',
      `${directory}: the vocabulary has ${vocab.size} entries but the embedding ${description.encoder.vocabSize}`,
      { details: { file: vocabFile, reason: 'E_VOCAB' } },
    );
  }
  const { path, bytes, tensors } = weights;
  const encoder = tensors.filter(({ name }) => name.startsWith(ENCODER_PREFIX));
  const head = tensors.filter(({ name }) => HEAD_NAMES.test(name) && name !== NGRAM_KEYS);
  const keys = tensors.find(({ name }) => name === NGRAM_KEYS);
  checkLabels(description, head.find(({ name }) => name === 'crf.end_transitions')?.shape[0], directory);
  const selected = selectEncoderTensors(encoder, description.encoder, path).tensors;
  checkHashes(description, vocab, directory);
  return {
    description,
    vocab,
    encoderWeights: { path, bytes, tensors: selected.map(asNativeEntry) },
    headWeights: { path, bytes, tensors: head.map(asNativeEntry) },
    ngramKeys: keys ? readNgramKeys(weights, keys) : new Int32Array(0),
  };
}

function hashError(file: string, what: string): AlbertNerError {
  return new AlbertNerError('ERR_CHECKPOINT_UNREADABLE', `${file} ${what}`, {
    details: { file, reason: 'E_HASH' },
  });
}

function checkWeights({ weights }: ModelDescription, { path, sha256: found }: LoadedSafetensors): void {
  if (found === weights.sha256) return;
  throw hashError(path, `isn't the file ${DESCRIPTION_FILE} was written for: its SHA-256 differs`);
}

/** What a model says depends on these and on nothing else in its directory. */
function hashesOf(
  {
    labels,
    scheme,
    encoder,
    head,
    text,
  }: Pick<ModelDescription, 'labels' | 'scheme' | 'encoder' | 'head' | 'text'>,
  vocab: Vocab,
): NonNullable<ModelDescription['hashes']> {
  return {
    // Of the entries, whatever ends their lines.
    vocab: sha256Text(vocab.serialize()),
    labels: sha256Text(JSON.stringify({ labels, scheme })),
    settings: sha256Text(JSON.stringify([encoder, head, text].map(sortedEntries))),
  };
}

function sortedEntries(object: object): [string, unknown][] {
  const defined = Object.entries(object).filter(([, value]) => value !== undefined);
  return defined.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Last: what doesn't fit together has a better message. */
function checkHashes(description: ModelDescription, vocab: Vocab, directory: string): void {
  if (description.hashes === null) return;
  const hashes = hashesOf(description, vocab);
  if (hashes.vocab !== description.hashes.vocab) {
    throw hashError(
      join(directory, VOCAB_FILE),
      `isn't the vocabulary ${DESCRIPTION_FILE} was written for: its SHA-256 differs`,
    );
  }
  if (hashes.labels !== description.hashes.labels) {
    throw new AlbertNerError(
      'ERR_LABELS_MISMATCH',
      `${directory}: labels or scheme in ${DESCRIPTION_FILE} aren't those the weights learned; rename labels where ` +
        'the entities are used',
      { details: { file: directory } },
    );
  }
  if (hashes.settings !== description.hashes.settings) {
    throw hashError(
      join(directory, DESCRIPTION_FILE),
      'was changed where it describes encoder, head or text',
    );
  }
}

/** Strictly ascending, as look-ups take for granted. */
function readNgramKeys(weights: LoadedSafetensors, tensor: TensorInfo): Int32Array {
  const { path } = weights;
  const fail = (what: string) =>
    new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${path}: ${NGRAM_KEYS} ${what}`, {
      details: { file: path, tensor: NGRAM_KEYS, reason: 'E_NGRAMS' },
    });
  if (tensor.shape.length !== 1) throw fail(`has the shape [${tensor.shape.join(', ')}], not [R]`);
  const keys = int32Values(weights, tensor);
  const place = keys.findIndex((key, k) => k > 0 && keys[k - 1] >= key);
  if (place >= 0) throw fail(`isn't ascending at place ${place}`);
  return keys;
}

async function readDescription(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, DESCRIPTION_FILE), 'utf8');
  } catch (cause) {
    const names: string[] = await readdir(directory).catch(() => []);
    const why = missingDescription(directory, names);
    throw new AlbertNerError('ERR_MODEL_NOT_FOUND', `No model in ${directory}: ${why}`, {
      details: { file: join(directory, DESCRIPTION_FILE) },
      cause,
    });
  }
}

function missingDescription(directory: string, names: readonly string[]): string {
  if (!names.includes(WEIGHTS_FILE)) return 'make one with: albert-ner train';
  if (names.includes(CONFIG_FILE))
    return `it is an encoder without a tagger; train one on it with: albert-ner train --encoder ${directory}`;
  return `it has weights but no ${DESCRIPTION_FILE}: writing it was interrupted; train or copy it again`;
}

function parseDescription(text: string, file: string): ModelDescription {
  const json = parseJson(text, file);
  const version = (json as { formatVersion?: unknown } | null)?.formatVersion;
  if (typeof version === 'number' && version > FORMAT_VERSION) {
    throw new AlbertNerError(
      'ERR_CHECKPOINT_MISMATCH',
      `${file} has format version ${version}, newer than ${FORMAT_VERSION}; use a newer albert-ner`,
      { details: { file, reason: 'E_VERSION' } },
    );
  }
  const result = descriptionSchema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const option = issue.path.join('.');
  throw new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${file}: ${option || 'model'}: ${issue.message}`, {
    details: { file, option, reason: 'E_DESCRIPTION' },
  });
}

function checkLabels(
  { labels, scheme }: ModelDescription,
  tagCount: number | undefined,
  directory: string,
): void {
  const expected = new TagSet(labels, scheme).size;
  if (tagCount === expected) return;
  throw new AlbertNerError(
    'ERR_LABELS_MISMATCH',
    `${directory}: ${labels.length} labels in ${scheme} make ${expected} tags but the weights have ${tagCount ?? 'none'}`,
    { details: { file: directory } },
  );
}

export interface ModelContent {
  description: Omit<ModelDescription, 'formatVersion' | 'weights' | 'hashes'>;
  vocab: Vocab;
  /** albert.*, bilstm.*, classifier.*, crf.*, with a mix of layers mix.*, with n-grams ngrams.* */
  tensors: readonly WritableTensor[];
  /** Default F32. */
  dtype?: StoredDtype;
  /** Markdown. */
  card: string;
}

/** Returns the description as written. One writer at a time. */
export function writeModelDirectory(
  directory: string,
  { description, vocab, tensors, dtype, card }: ModelContent,
): Promise<ModelDescription> {
  const names = [WEIGHTS_FILE, VOCAB_FILE, CARD_FILE, CONFIG_FILE, DESCRIPTION_FILE];
  return replaceFiles(directory, { names, marks: FOLDER_MARKS }, async (staging) => {
    const { sha256, bytes } = await writeSafetensors(join(staging, WEIGHTS_FILE), tensors, { dtype });
    await writeFileAtomic(join(staging, VOCAB_FILE), vocab.serialize());
    await writeFileAtomic(join(staging, CARD_FILE), card);
    await writeFileAtomic(join(staging, CONFIG_FILE), formatEncoderConfig(description.encoder));
    const whole: ModelDescription = {
      formatVersion: FORMAT_VERSION,
      ...description,
      weights: { file: WEIGHTS_FILE, sha256, bytes },
      hashes: hashesOf(description, vocab),
    };
    await writeFileAtomic(join(staging, DESCRIPTION_FILE), `${JSON.stringify(whole, null, 2)}\n`);
    return whole;
  });
}

/**
 * Puts other scores into a model directory, and a card that shows them. The weights stay as they are; a description of version 1
 * becomes one of version 2.
 */
export async function replaceScores(
  directory: string,
  scores: ModelDescription['scores'],
  card: (description: ModelDescription) => string,
): Promise<void> {
  const file = join(directory, DESCRIPTION_FILE);
  const { description: found, vocab } = await readModelDirectory(directory);
  const description: ModelDescription = {
    ...found,
    formatVersion: FORMAT_VERSION,
    scores,
    hashes: hashesOf(found, vocab),
  };
  await writeFileAtomic(join(directory, CARD_FILE), card(description));
  await writeFileAtomic(file, `${JSON.stringify(description, null, 2)}\n`);
}
