/** Encoder folders: config.json, vocab.txt and model.safetensors in Hugging Face layout, read and written. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type LoadedSafetensors,
  loadSafetensors,
  type StoredDtype,
  type TensorInfo,
  type WritableTensor,
  type WrittenFile,
  writeSafetensors,
} from '../../albert/convert/safetensors.js';
import {
  type EncoderConfig,
  parseHuggingFaceConfig,
  parseJson,
  toHuggingFaceConfig,
} from '../../albert/encoder-config.js';
import { selectEncoderTensors } from '../../albert/name-map.js';
import { AlbertNerError } from '../errors.js';
import { readFolder, replaceFiles, writeFileAtomic } from '../files.js';
import type { NativeTensor, NativeTensorEntry, NativeTensorFile } from '../native/binding.js';
import { Vocab } from '../text/vocab.js';

export const CONFIG_FILE = 'config.json';
/** Of a model directory, which is an encoder folder, too. */
export const DESCRIPTION_FILE = 'model.json';
/** What says that a folder is whole: removed first and written last. */
export const FOLDER_MARKS = [DESCRIPTION_FILE, CONFIG_FILE];
export const VOCAB_FILE = 'vocab.txt';
export const WEIGHTS_FILE = 'model.safetensors';

export interface EncoderFolder {
  config: EncoderConfig;
  vocab: Vocab;
  /** Only the tensors the encoder needs, under canonical names. */
  weights: NativeTensorFile;
  /** Of the same file; null when it holds none. */
  pretrainingWeights: NativeTensorFile | null;
  /** Of the file of weights. */
  sha256: string;
  /** What is odd but no error: a vocabulary smaller than the embedding, tensors nobody knows. */
  warnings: string[];
}

/**
 * Rejects with ERR_MODEL_NOT_FOUND when a file is missing, ERR_CHECKPOINT_MISMATCH when the files don't fit each other,
 * ERR_CHECKPOINT_UNREADABLE when one is damaged.
 */
export async function readEncoderFolder(directory: string): Promise<EncoderFolder> {
  return readFolder(directory, CONFIG_FILE, () => readOnce(directory));
}

async function readOnce(directory: string): Promise<EncoderFolder> {
  await checkFiles(directory);
  const configFile = join(directory, CONFIG_FILE);
  const config = parseHuggingFaceConfig(
    parseJson(await readFile(configFile, 'utf8'), configFile),
    configFile,
  );
  const vocab = await Vocab.read(join(directory, VOCAB_FILE));
  const path = join(directory, WEIGHTS_FILE);
  const file = await loadSafetensors(path);
  const { tensors: available, bytes, sha256 } = file;
  const { tensors, unknown } = selectEncoderTensors(available, config, path);
  const warnings = checkVocabSize(vocab, config, directory);
  if (unknown.length > 0) warnings.push(`${path}: unused tensors ${unknown.slice(0, 5).join(', ')}`);
  const weights = { path, bytes, tensors: tensors.map(asNativeEntry) };
  return { config, vocab, weights, pretrainingWeights: pretrainingWeightsOf(file), sha256, warnings };
}

/** The dtype is checked by the addon, which knows what it can convert. */
export function asNativeEntry(tensor: TensorInfo): NativeTensorEntry {
  return tensor as NativeTensorEntry;
}

async function checkFiles(directory: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (cause) {
    throw new AlbertNerError(
      'ERR_MODEL_NOT_FOUND',
      `Can't open the encoder folder ${directory}: ${(cause as Error).message}; ` +
        'make one with: albert-ner convert, or albert-ner pretrain',
      { details: { file: directory }, cause },
    );
  }
  for (const name of [CONFIG_FILE, VOCAB_FILE, WEIGHTS_FILE]) {
    if (names.includes(name)) continue;
    const hint =
      name === WEIGHTS_FILE && names.includes('pytorch_model.bin')
        ? '; it has pytorch_model.bin, make the folder an encoder with: albert-ner convert'
        : '';
    throw new AlbertNerError('ERR_MODEL_NOT_FOUND', `The encoder folder ${directory} has no ${name}${hint}`, {
      details: { file: join(directory, name) },
    });
  }
}

function checkVocabSize(vocab: Vocab, { vocabSize }: EncoderConfig, directory: string): string[] {
  if (vocab.size === vocabSize) return [];
  const message = `the vocabulary has ${vocab.size} entries but the embedding ${vocabSize}`;
  if (vocab.size < vocabSize) return [`${directory}: ${message}`];
  throw new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${directory}: ${message}`, {
    details: { file: join(directory, VOCAB_FILE), reason: 'E_VOCAB' },
  });
}

export interface EncoderContent {
  config: EncoderConfig;
  vocab: Vocab;
  /** Under canonical names. */
  tensors: readonly WritableTensor[];
  /** Weights of the pretraining heads, under the names of Hugging Face's AlbertForPreTraining. */
  pretrainingHeads?: readonly NativeTensor[];
  /** Default F32. */
  dtype?: StoredDtype;
  /** More of the weight file's metadata. */
  metadata?: Readonly<Record<string, string>>;
}

/**
 * config.json is written last: a folder without it is unfinished. Where a model stood it is one no longer: its weights are
 * replaced.
 */
export async function writeEncoderFolder(
  directory: string,
  { config, vocab, tensors, pretrainingHeads, dtype, metadata }: EncoderContent,
): Promise<WrittenFile> {
  // With heads the file is one of AlbertForPreTraining, where the encoder has its prefix and its pooler.
  const whole = pretrainingHeads
    ? [...tensors.map(prefixed), ...pretrainingHeads.map((head) => (isPooler(head) ? prefixed(head) : head))]
    : tensors;
  const names = [WEIGHTS_FILE, VOCAB_FILE, CONFIG_FILE];
  return replaceFiles(directory, { names, marks: FOLDER_MARKS }, async (staging) => {
    const written = await writeSafetensors(join(staging, WEIGHTS_FILE), whole, { dtype, metadata });
    await writeFileAtomic(join(staging, VOCAB_FILE), vocab.serialize());
    await writeFileAtomic(join(staging, CONFIG_FILE), formatEncoderConfig(config));
    return written;
  });
}

export function formatEncoderConfig(config: EncoderConfig): string {
  return `${JSON.stringify(toHuggingFaceConfig(config), null, 2)}\n`;
}

const HUGGING_FACE_PREFIX = 'albert.';

function prefixed(tensor: WritableTensor): WritableTensor {
  return { ...tensor, name: HUGGING_FACE_PREFIX + tensor.name };
}

function isPooler({ name }: { name: string }): boolean {
  return name.startsWith('pooler.');
}

/** The pretraining heads in a file, for the addon; null when it holds none. */
function pretrainingWeightsOf({ path, bytes, tensors }: LoadedSafetensors): NativeTensorFile | null {
  const heads = tensors
    .map((tensor) => ({
      ...asNativeEntry(tensor),
      name: tensor.name.replace(/^albert\.pooler\./, 'pooler.'),
    }))
    .filter((tensor) => /^(pooler|predictions|sop_classifier)\./.test(tensor.name));
  return heads.some(({ name }) => name.startsWith('predictions.')) ? { path, bytes, tensors: heads } : null;
}
