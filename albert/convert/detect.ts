/** Which checkpoint a path names, by what is there and by first bytes, never by file names alone. */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AlbertNerError } from '../../lib/errors.js';
import { CheckpointFile, readSmallText, unreadable } from './checkpoint-file.js';
import { LEGACY_MAGIC, openPytorchLegacy } from './pytorch-legacy.js';
import { openPytorchZip } from './pytorch-zip.js';
import { openSafetensors } from './safetensors.js';
import { endsAsTable } from './sstable.js';
import type { StateDictOptions } from './state-dict.js';
import type { Checkpoint } from './stored-tensor.js';
import { openTfBundle } from './tf-bundle.js';

/** A checkpoint that was found but not opened. */
export interface FoundCheckpoint {
  kind: 'tensorflow' | 'file';
  /** Prefix of a bundle, or the file. */
  path: string;
  /** Where configuration and vocabulary may lie beside it. */
  folder: string;
}

const INDEX = '.index';
/** Names of Hugging Face folders, the safer format first. */
const USUAL_FILES = ['model.safetensors', 'pytorch_model.bin'];
const SHARDED = ['model.safetensors.index.json', 'pytorch_model.bin.index.json'];
const WEIGHT_FILE = /\.(safetensors|bin|pt|pth|pkl)$/;
const HEAD_BYTES = 512;
/** Of the text file "checkpoint". */
const MAX_STATE_BYTES = 1 << 20;

const mismatch = (path: string, reason: string, what: string) =>
  new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${path}: ${what}`, { details: { file: path, reason } });

/**
 * A prefix, an index, a weight file, or a folder with exactly one of them. Rejects with ERR_MODEL_NOT_FOUND when there is
 * none, ERR_CHECKPOINT_MISMATCH (E_SEVERAL, E_SHARDED) when there is too much.
 */
export async function findCheckpoint(path: string): Promise<FoundCheckpoint> {
  const info = await stat(path).catch(() => null);
  if (info?.isDirectory()) return findInFolder(path);
  const prefix = path.endsWith(INDEX) ? path.slice(0, -INDEX.length) : path;
  const bundle = { kind: 'tensorflow', path: prefix, folder: folderOf(prefix) } as const;
  if (path.endsWith(INDEX) && info) return bundle;
  if (await stat(`${prefix}${INDEX}`).catch(() => null)) return bundle;
  const shard = /^(.*)\.data-\d{5}-of-\d{5}$/.exec(path)?.[1] ?? /^(.*)\.meta$/.exec(path)?.[1];
  if (shard && (await stat(`${shard}${INDEX}`).catch(() => null))) {
    return { kind: 'tensorflow', path: shard, folder: folderOf(shard) };
  }
  if (info) return { kind: 'file', path, folder: dirname(path) };
  throw new AlbertNerError(
    'ERR_MODEL_NOT_FOUND',
    `No checkpoint at ${path}: expected a TensorFlow prefix, a PyTorch or safetensors file, or a folder with one`,
    { details: { file: path } },
  );
}

/** Configuration of a TensorFlow Hub module lies above its variables. */
function folderOf(prefix: string): string {
  const folder = dirname(prefix);
  return basename(folder) === 'variables' ? dirname(folder) : folder;
}

async function findInFolder(folder: string): Promise<FoundCheckpoint> {
  const names = await readdir(folder);
  const file = USUAL_FILES.find((name) => names.includes(name));
  if (file) return { kind: 'file', path: join(folder, file), folder };
  const sharded = SHARDED.find((name) => names.includes(name));
  if (sharded) throw mismatch(join(folder, sharded), 'E_SHARDED', 'a model in several files; no ALBERT is');
  const prefixes = names.filter((name) => name.endsWith(INDEX)).map((name) => name.slice(0, -INDEX.length));
  const prefix = prefixes.length > 1 ? await currentPrefix(folder, prefixes) : prefixes[0];
  if (prefix !== undefined) return { kind: 'tensorflow', path: join(folder, prefix), folder };
  if (names.includes('variables')) {
    const inner = await readdir(join(folder, 'variables')).catch((): string[] => []);
    if (inner.includes(`variables${INDEX}`)) {
      return { kind: 'tensorflow', path: join(folder, 'variables', 'variables'), folder };
    }
  }
  const files = names.filter((name) => WEIGHT_FILE.test(name)).sort();
  if (files.length === 1) return { kind: 'file', path: join(folder, files[0]), folder };
  if (files.length > 1)
    throw mismatch(folder, 'E_SEVERAL', `several checkpoints: ${files.slice(0, 8).join(', ')}; name one`);
  throw new AlbertNerError(
    'ERR_MODEL_NOT_FOUND',
    `No checkpoint in ${folder}: expected ${USUAL_FILES.join(', ')}, another PyTorch or safetensors file, or *${INDEX}`,
    { details: { file: folder } },
  );
}

/** Of several bundles the one that the file "checkpoint" names as the latest; only its base name counts. */
async function currentPrefix(folder: string, prefixes: readonly string[]): Promise<string> {
  const text = await readSmallText(join(folder, 'checkpoint'), MAX_STATE_BYTES).catch(() => '');
  const named = /^model_checkpoint_path: *"([^"]+)"/.exec(text)?.[1].split(/[/\\]/).at(-1);
  if (named !== undefined && prefixes.includes(named)) return named;
  const listed = [...prefixes].sort().slice(0, 8).join(', ');
  throw mismatch(
    folder,
    'E_SEVERAL',
    `several checkpoints: ${listed}; name one, as ${join(folder, prefixes[0])}`,
  );
}

/**
 * Opens it with the reader its bytes ask for. Rejects as that reader does, and with E_FORMAT, E_TF_V1,
 * E_PT_TAR, E_PICKLE_OPCODE for what no reader takes.
 */
export async function openCheckpoint(
  found: FoundCheckpoint,
  options: StateDictOptions = {},
): Promise<Checkpoint> {
  if (found.kind === 'tensorflow') return openTfBundle(found.path);
  const { path } = found;
  const file = await CheckpointFile.open(path);
  let head: Buffer;
  try {
    head = await file.bytes(0, Math.min(HEAD_BYTES, file.size));
    const isTable = await endsAsTable(file);
    if (isTable) {
      const what =
        'a TensorFlow checkpoint of the first version, in one file; save it again with TensorFlow 1.x';
      throw unreadable(path, 'E_TF_V1', what, { byteOffset: file.size - 8 });
    }
  } finally {
    await file.close();
  }
  if (head.subarray(0, 4).equals(Buffer.from('PK\x03\x04'))) return openPytorchZip(path, options);
  if (head.subarray(0, LEGACY_MAGIC.length).equals(LEGACY_MAGIC)) return openPytorchLegacy(path, options);
  if (head.subarray(257, 262).toString('latin1') === 'ustar') {
    throw unreadable(
      path,
      'E_PT_TAR',
      'a tar file, as PyTorch before 0.1.10 wrote; save it with a newer torch',
      {
        byteOffset: 257,
      },
    );
  }
  if (head[0] === 0x80 && head[1] >= 2 && head[1] <= 5 && head[2] !== 0) {
    throw unreadable(path, 'E_PICKLE_OPCODE', 'a plain pickle; save weights with torch.save', {
      byteOffset: 0,
    });
  }
  if (head.length >= 9 && /^ *\{/.test(head.subarray(8).toString('latin1'))) return openSafetensors(path);
  throw unreadable(path, 'E_FORMAT', formatHint(head), { byteOffset: 0 });
}

function formatHint(head: Buffer): string {
  if (head.subarray(1, 4).toString('latin1') === 'HDF')
    return 'an HDF5 file (Keras, tf_model.h5), which is not supported';
  if (head.length < 9) return `a file of ${head.length} bytes`;
  return 'it is no TensorFlow, PyTorch or safetensors file';
}
