/**
 * Any checkpoint of an ALBERT to an encoder folder: finds it, reads its structure, resolves its config, and streams the
 * weights, one tensor at a time. A whole model of the reference implementation becomes a model directory.
 */

import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { type FoundCheckpoint, findCheckpoint, openCheckpoint } from '../../albert/convert/detect.js';
import {
  type ConfigDialect,
  type ConfigOverrides,
  findConfigs,
  type ResolvedConfig,
  readConfig,
  resolveConfig,
} from '../../albert/convert/resolve-config.js';
import type { TensorBlocks, WritableTensor, WrittenFile } from '../../albert/convert/safetensors.js';
import {
  type Checkpoint,
  type CheckpointFormat,
  closeCheckpoint,
  elementCount,
} from '../../albert/convert/stored-tensor.js';
import { readStructure, type Structure } from '../../albert/convert/structure.js';
import { TensorReader } from '../../albert/convert/tensor-stream.js';
import type { EncoderConfig } from '../../albert/encoder-config.js';
import { canonicalTensors } from '../../albert/name-map.js';
import { AlbertNerError } from '../errors.js';
import { writeFileAtomic } from '../files.js';
import { Vocab } from '../text/vocab.js';
import { invalidArgument } from '../validate.js';
import { throwIfAborted } from './cancellation.js';
import { CONFIG_FILE, VOCAB_FILE, WEIGHTS_FILE, writeEncoderFolder } from './encoder-folder.js';
import { huggingFaceProblem } from './hugging-face.js';
import { importTagger, isTagger } from './import-tagger.js';

export interface ConvertOptions {
  /** Prefix of a TensorFlow checkpoint, a PyTorch or safetensors file, or a folder with one. */
  input: string;
  /** Folder to write. */
  output: string;
  /** Config file or name of a published size; default the one beside the weights. */
  config?: string;
  /** Vocabulary; default the one beside the weights. */
  vocab?: string;
  /** Key of the state dict in a PyTorch file that holds more. */
  key?: string;
  overrides?: ConfigOverrides;
  /** Tags of a whole model of the reference implementation, in the order of their numbers. */
  tags?: readonly string[];
  /** Let NaN and infinity pass. Default false. */
  allowNonFinite?: boolean;
  /** hf: reject unless transformers' own AlbertModel loads the result. */
  target?: 'hf';
  signal?: AbortSignal;
  /** Bytes written so far and in all. */
  onProgress?: (done: number, total: number) => void;
}

/** What was done; the content of conversion.json. */
export interface ConversionReport {
  kind: 'encoder' | 'model';
  input: string;
  output: string;
  format: CheckpointFormat;
  encoder: EncoderConfig;
  config: { file: string | null; dialect: ConfigDialect | null };
  source: { files: { name: string; bytes: number; sha256: string }[]; variables: number };
  /** Canonical name, name in the checkpoint (null: an identity that isn't stored), type and shape there. */
  used: { name: string; source: string | null; dtype: string; shape: readonly number[] }[];
  /** Parts of other models and of training. */
  skipped: string[];
  unknown: string[];
  /** Null when transformers' AlbertModel loads the result, else why it can't. */
  huggingFace: string | null;
  weights: WrittenFile;
  warnings: string[];
}

export const REPORT_FILE = 'conversion.json';
/** Of a converted config in the metadata of weights. */
const OWN_FORMAT = 1;
const HASH_CHUNK_BYTES = 4 << 20;

/**
 * Rejects with ERR_MODEL_NOT_FOUND (no checkpoint, config or vocabulary), ERR_CHECKPOINT_UNREADABLE (damaged or hostile
 * bytes), ERR_CHECKPOINT_MISMATCH (no ALBERT this can run, or a config that doesn't fit), ERR_INVALID_ARGUMENT (writing
 * over the input), ERR_ABORTED. When it rejects before the files are renamed into place, what the
 * output held before is as it was; a process killed while they are leaves no folder that passes for a whole one.
 */
export async function convertCheckpoint(options: ConvertOptions): Promise<ConversionReport> {
  const found = await findCheckpoint(options.input);
  if (resolve(options.output) === resolve(found.folder)) {
    throw invalidArgument('output', 'another folder than that of the checkpoint', options.output);
  }
  const checkpoint = await openCheckpoint(found, { key: options.key });
  try {
    const report = await convertOpened(checkpoint, found, options);
    await writeReport(options.output, report);
    return report;
  } finally {
    await closeCheckpoint(checkpoint);
  }
}

export async function writeReport(folder: string, report: ConversionReport): Promise<void> {
  await writeFileAtomic(join(folder, REPORT_FILE), `${JSON.stringify(report, null, 2)}\n`);
}

async function convertOpened(
  checkpoint: Checkpoint,
  found: FoundCheckpoint,
  options: ConvertOptions,
): Promise<ConversionReport> {
  const { output, overrides = {}, signal } = options;
  const structure = readStructure(checkpoint);
  const candidates = options.config ? [await readConfig(options.config)] : await findConfigs(found.folder);
  const { format, path } = checkpoint;
  const resolved = await resolveConfig({ candidates, structure, format, path, overrides });
  const problem = huggingFaceProblem(resolved.config);
  if (options.target === 'hf' && problem !== null) {
    throw new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${path}: ${problem}`, {
      details: { file: path, reason: 'E_HF_LAYOUT' },
    });
  }
  const vocabFile = options.vocab ?? (await findVocab(found.folder));
  const vocab = await Vocab.read(vocabFile);
  const warnings = [
    ...checkpoint.warnings,
    ...resolved.warnings,
    ...vocabWarnings(vocab, vocabFile, resolved),
  ];
  const source = { files: await hashFiles(checkpoint, signal), variables: checkpoint.tensors.length };
  const tensors = encoderTensors(checkpoint, structure, options);
  const metadata = {
    albert_ner: JSON.stringify({
      format: OWN_FORMAT,
      ...resolved.config,
      source: { kind: format, ...source },
    }),
  };
  const tagger = isTagger(checkpoint, structure);
  const weights = tagger
    ? await importTagger(checkpoint, {
        output,
        encoder: resolved.config,
        vocab,
        encoderTensors: tensors,
        tags: options.tags,
      })
    : await writeEncoderFolder(output, { config: resolved.config, vocab, tensors, metadata });
  return {
    kind: tagger ? 'model' : 'encoder',
    input: options.input,
    output,
    format,
    encoder: resolved.config,
    config: { file: resolved.file, dialect: resolved.dialect },
    source,
    used: usedTensors(structure),
    skipped: structure.skipped.filter((name) => !tagger || !/^(lstm|hidden2tag|crf)\./.test(name)),
    unknown: structure.unknown,
    huggingFace: problem,
    weights,
    warnings,
  };
}

function usedTensors({ tensors }: Structure): ConversionReport['used'] {
  return [...tensors].map(([name, found]) => ({
    name,
    source: found?.source ?? null,
    dtype: found?.tensor.dtype ?? 'F32',
    shape: found?.tensor.shape ?? [],
  }));
}

/** The encoder's weights under canonical names, read when they are written; at last the files are looked at once more. */
function encoderTensors(
  { files }: Checkpoint,
  { tensors, sizes, layout }: Structure,
  { allowNonFinite, signal, onProgress }: ConvertOptions,
): WritableTensor[] {
  const reader = new TensorReader();
  const shapes = canonicalTensors({ ...sizes, layout });
  const total = [...shapes.values()].reduce((sum, shape) => sum + 4 * elementCount(shape), 0);
  let done = 0;
  const counted = (blocks: TensorBlocks): TensorBlocks =>
    async function* () {
      for await (const block of blocks()) {
        throwIfAborted(signal);
        yield block;
        done += block.byteLength;
        onProgress?.(done, total);
      }
      if (done === total) for (const file of files) await file.checkUnchanged();
    };
  return [...shapes].map(([name, shape]): WritableTensor => {
    const found = tensors.get(name);
    const blocks: TensorBlocks = found
      ? () => reader.blocks(found.tensor, { allowNonFinite })
      : async function* () {
          yield identity(shape);
        };
    return { name, shape, data: counted(blocks) };
  });
}

/** The identity for a matrix, zeros for a bias. */
function identity(shape: readonly number[]): Float32Array {
  const values = new Float32Array(elementCount(shape));
  if (shape.length === 2) for (let k = 0; k < shape[0]; k += 1) values[k * shape[1] + k] = 1;
  return values;
}

/** The only vocabulary in a folder; ERR_MODEL_NOT_FOUND. */
export async function findVocab(folder: string): Promise<string> {
  const names = await readdir(folder).catch((): string[] => []);
  const found = names.includes(VOCAB_FILE)
    ? [VOCAB_FILE]
    : names.filter((name) => /^vocab.*\.txt$|vocab\.txt$/.test(name)).sort();
  if (found.length === 1) return join(folder, found[0]);
  const what = found.length === 0 ? `no ${VOCAB_FILE}` : `several vocabularies (${found.join(', ')})`;
  throw new AlbertNerError('ERR_MODEL_NOT_FOUND', `${folder} has ${what}: name the model's with --vocab`, {
    details: { file: join(folder, VOCAB_FILE) },
  });
}

function vocabWarnings(vocab: Vocab, file: string, { config: { vocabSize } }: ResolvedConfig): string[] {
  if (vocab.size === vocabSize) return [];
  const message = `${file}: the vocabulary has ${vocab.size} entries but the embedding ${vocabSize}`;
  if (vocab.size < vocabSize) return [message];
  throw new AlbertNerError('ERR_CHECKPOINT_MISMATCH', message, { details: { file, reason: 'E_VOCAB' } });
}

/** Name, size and SHA-256 of each file of a checkpoint. */
export async function hashFiles(
  { files }: Checkpoint,
  signal?: AbortSignal,
): Promise<ConversionReport['source']['files']> {
  const hashed: ConversionReport['source']['files'] = [];
  for (const file of files) {
    const hash = createHash('sha256');
    await file.forEachChunk(
      0,
      file.size,
      (chunk) => {
        throwIfAborted(signal);
        hash.update(chunk);
      },
      HASH_CHUNK_BYTES,
    );
    hashed.push({ name: basename(file.path), bytes: file.size, sha256: hash.digest('hex') });
  }
  return hashed;
}

/** Whether a folder is an encoder folder already, as far as names tell. */
export async function isEncoderFolder(path: string): Promise<boolean> {
  const names = await readdir(path).catch((): string[] => []);
  return [CONFIG_FILE, VOCAB_FILE, WEIGHTS_FILE].every((name) => names.includes(name));
}
