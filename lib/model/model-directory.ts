/**
 * Model directories: model.json, model.safetensors, vocab.txt, config.json and a card, read and written. With its
 * config.json a model directory is an encoder folder as well.
 *
 * model.json and config.json are the commit marks of model and encoder. Files are written aside; then the marks are
 * removed, the others are renamed into place, and the marks last; model.json holds the hash of the weights. A process
 * killed at any moment leaves a whole model or none, never a mixture.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  readInt32Tensor,
  readSafetensorsHeader,
  type StoredDtype,
  type TensorInfo,
  type WritableTensor,
  writeSafetensors,
} from '../../albert/convert/safetensors.js';
import { parseJson } from '../../albert/encoder-config.js';
import { selectEncoderTensors } from '../../albert/name-map.js';
import { MAX_NGRAM_WIDTH } from '../config/schema.js';
import { AlbertNerError } from '../errors.js';
import { replaceFiles, sha256File, writeFileAtomic } from '../files.js';
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
const FORMAT_VERSION = 1;
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
  layerCount: positiveInteger,
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

const descriptionSchema = z.strictObject({
  formatVersion: z.literal(FORMAT_VERSION),
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
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    bytes: positiveInteger,
  }),
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
 * ERR_CHECKPOINT_MISMATCH (format, names, shapes), ERR_LABELS_MISMATCH (labels and weights disagree).
 */
export async function readModelDirectory(directory: string): Promise<ModelDirectory> {
  const description = parseDescription(await readDescription(directory), join(directory, DESCRIPTION_FILE));
  const path = join(directory, WEIGHTS_FILE);
  const vocab = await Vocab.read(join(directory, VOCAB_FILE));
  const { tensors } = await readSafetensorsHeader(path);
  const sha256 = await sha256File(path);
  if (sha256 !== description.weights.sha256) {
    throw new AlbertNerError(
      'ERR_CHECKPOINT_UNREADABLE',
      `${path} isn't the file ${DESCRIPTION_FILE} was written for: its SHA-256 differs`,
      { details: { file: path, reason: 'E_HASH' } },
    );
  }
  if (vocab.size > description.encoder.vocabSize) {
    throw new AlbertNerError(
      'ERR_CHECKPOINT_MISMATCH',
      `${directory}: the vocabulary has ${vocab.size} entries but the embedding ${description.encoder.vocabSize}`,
      { details: { file: join(directory, VOCAB_FILE), reason: 'E_VOCAB' } },
    );
  }
  const encoder = tensors.filter(({ name }) => name.startsWith(ENCODER_PREFIX));
  const head = tensors.filter(({ name }) => HEAD_NAMES.test(name) && name !== NGRAM_KEYS);
  const keys = tensors.find(({ name }) => name === NGRAM_KEYS);
  checkLabels(description, head.find(({ name }) => name === 'crf.end_transitions')?.shape[0], directory);
  const selected = selectEncoderTensors(encoder, description.encoder, path).tensors;
  return {
    description,
    vocab,
    encoderWeights: { path, tensors: selected.map(asNativeEntry) },
    headWeights: { path, tensors: head.map(asNativeEntry) },
    ngramKeys: keys ? await readNgramKeys(path, keys) : new Int32Array(0),
  };
}

/** Strictly ascending, as look-ups take for granted. */
async function readNgramKeys(path: string, tensor: TensorInfo): Promise<Int32Array> {
  const fail = (what: string) =>
    new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${path}: ${NGRAM_KEYS} ${what}`, {
      details: { file: path, tensor: NGRAM_KEYS, reason: 'E_NGRAMS' },
    });
  if (tensor.shape.length !== 1) throw fail(`has the shape [${tensor.shape.join(', ')}], not [R]`);
  const keys = await readInt32Tensor(path, tensor);
  const place = keys.findIndex((key, k) => k > 0 && keys[k - 1] >= key);
  if (place >= 0) throw fail(`isn't ascending at place ${place}`);
  return keys;
}

async function readDescription(directory: string): Promise<string> {
  try {
    return await readFile(join(directory, DESCRIPTION_FILE), 'utf8');
  } catch (cause) {
    const names: string[] = await readdir(directory).catch(() => []);
    const why = names.includes(WEIGHTS_FILE)
      ? `it has weights but no ${DESCRIPTION_FILE}: writing it was interrupted; train or copy it again`
      : 'make one with: albert-ner train';
    throw new AlbertNerError('ERR_MODEL_NOT_FOUND', `No model in ${directory}: ${why}`, {
      details: { file: join(directory, DESCRIPTION_FILE) },
      cause,
    });
  }
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
  description: Omit<ModelDescription, 'weights'>;
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
    const whole: ModelDescription = { ...description, weights: { file: WEIGHTS_FILE, sha256, bytes } };
    await writeFileAtomic(join(staging, DESCRIPTION_FILE), `${JSON.stringify(whole, null, 2)}\n`);
    return whole;
  });
}

/** Puts other scores into a model directory, and a card that shows them. The weights stay as they are. */
export async function replaceScores(
  directory: string,
  scores: ModelDescription['scores'],
  card: (description: ModelDescription) => string,
): Promise<void> {
  const file = join(directory, DESCRIPTION_FILE);
  const description = { ...parseDescription(await readDescription(directory), file), scores };
  await writeFileAtomic(join(directory, CARD_FILE), card(description));
  await writeFileAtomic(file, `${JSON.stringify(description, null, 2)}\n`);
}
