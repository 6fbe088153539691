/** Encoder folders: config.json, vocab.txt and model.safetensors in Hugging Face layout, read and written. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  readSafetensorsHeader,
  type TensorInfo,
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
import { writeFileAtomic } from '../files.js';
import type { NativeTensor, NativeTensorEntry, NativeTensorFile } from '../native/binding.js';
import { Vocab } from '../text/vocab.js';

const CONFIG_FILE = 'config.json';
export const VOCAB_FILE = 'vocab.txt';
export const WEIGHTS_FILE = 'model.safetensors';

export interface EncoderFolder {
  config: EncoderConfig;
  vocab: Vocab;
  /** Only the tensors the encoder needs, under canonical names. */
  weights: NativeTensorFile;
  /** What is odd but no error: a vocabulary smaller than the embedding, tensors nobody knows. */
  warnings: string[];
}

/**
 * Rejects with ERR_MODEL_NOT_FOUND when a file is missing, ERR_CHECKPOINT_MISMATCH when the files don't fit each other,
 * ERR_CHECKPOINT_UNREADABLE when one is damaged.
 */
export async function readEncoderFolder(directory: string): Promise<EncoderFolder> {
  await checkFiles(directory);
  const configFile = join(directory, CONFIG_FILE);
  const config = parseHuggingFaceConfig(
    parseJson(await readFile(configFile, 'utf8'), configFile),
    configFile,
  );
  const vocab = await Vocab.read(join(directory, VOCAB_FILE));
  const path = join(directory, WEIGHTS_FILE);
  const { tensors: available } = await readSafetensorsHeader(path);
  const { tensors, unknown } = selectEncoderTensors(available, config, path);
  const warnings = checkVocabSize(vocab, config, directory);
  if (unknown.length > 0) warnings.push(`${path}: unused tensors ${unknown.slice(0, 5).join(', ')}`);
  return { config, vocab, weights: { path, tensors: tensors.map(asNativeEntry) }, warnings };
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
        'make one with: albert-ner pretrain --steps 0 --out DIR',
      { details: { file: directory }, cause },
    );
  }
  for (const name of [CONFIG_FILE, VOCAB_FILE, WEIGHTS_FILE]) {
    if (names.includes(name)) continue;
    const hint =
      name === WEIGHTS_FILE && names.includes('pytorch_model.bin')
        ? '; it has pytorch_model.bin, which must be saved as safetensors first'
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
  tensors: readonly NativeTensor[];
}

/** config.json is written last: a folder without it is unfinished. */
export async function writeEncoderFolder(
  directory: string,
  { config, vocab, tensors }: EncoderContent,
): Promise<void> {
  await writeSafetensors(join(directory, WEIGHTS_FILE), tensors);
  await writeFileAtomic(join(directory, VOCAB_FILE), vocab.serialize());
  await writeFileAtomic(
    join(directory, CONFIG_FILE),
    `${JSON.stringify(toHuggingFaceConfig(config), null, 2)}\n`,
  );
}
