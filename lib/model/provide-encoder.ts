/**
 * An encoder folder for whatever a config names: the folder itself, or a checkpoint of another program, converted on first
 * use into the cache. The key is the content of weights, config and vocabulary, so a changed file is converted anew and a
 * moved one isn't.
 */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findCheckpoint, openCheckpoint } from '../../albert/convert/detect.js';
import { findConfigs } from '../../albert/convert/resolve-config.js';
import { closeCheckpoint } from '../../albert/convert/stored-tensor.js';
import { cacheFolder } from '../cache-folder.js';
import { AlbertNerError } from '../errors.js';
import { removeAbandoned, sha256File, temporaryName } from '../files.js';
import {
  type ConversionReport,
  convertCheckpoint,
  findVocab,
  hashFiles,
  isEncoderFolder,
  writeReport,
} from './convert-checkpoint.js';
import { CONFIG_FILE } from './encoder-folder.js';

/** Raised whenever equal inputs give other outputs than before. */
const CONVERTER_VERSION = 1;
const KEY_DIGITS = 32;

export interface ProvideEncoderOptions {
  signal?: AbortSignal;
  /** Bytes converted so far and in all. */
  onProgress?: (done: number, total: number) => void;
}

export interface ProvidedEncoder {
  /** Encoder folder, or the path as given when nothing is there. */
  folder: string;
  /** Of a conversion made by this call. */
  report: ConversionReport | null;
}

/** Rejects as `convertCheckpoint` does. A path with nothing comes back as it is, for the reader to complain about. */
export async function provideEncoder(
  path: string,
  options: ProvideEncoderOptions = {},
): Promise<ProvidedEncoder> {
  if ((await isEncoderFolder(path)) || !(await hasCheckpoint(path))) return { folder: path, report: null };
  const folder = join(cacheFolder(), 'encoders', await contentKey(path, options.signal));
  const isDone = () => existsSync(join(folder, CONFIG_FILE));
  if (isDone()) return { folder, report: null };
  await removeAbandoned(folder);
  const temporary = temporaryName(folder);
  try {
    await mkdir(temporary, { recursive: true });
    const converted = await convertCheckpoint({ input: path, output: temporary, ...options });
    const report = { ...converted, output: folder };
    await writeReport(temporary, report);
    await rename(temporary, folder).catch((error) => {
      // Another process was faster; its folder is as good.
      if (!isDone()) throw error;
    });
    return { folder, report };
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function hasCheckpoint(path: string): Promise<boolean> {
  try {
    await findCheckpoint(path);
    return true;
  } catch (error) {
    if (error instanceof AlbertNerError && error.code === 'ERR_MODEL_NOT_FOUND') return false;
    throw error;
  }
}

/** Hash of everything the conversion depends on. */
async function contentKey(path: string, signal?: AbortSignal): Promise<string> {
  const found = await findCheckpoint(path);
  const checkpoint = await openCheckpoint(found);
  try {
    const configs = await findConfigs(found.folder);
    const parts = [
      CONVERTER_VERSION,
      (await hashFiles(checkpoint, signal)).map(({ sha256 }) => sha256),
      configs.map(({ json }) => json),
      await sha256File(await findVocab(found.folder)),
    ];
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, KEY_DIGITS);
  } finally {
    await closeCheckpoint(checkpoint);
  }
}
