/** A model directory on a session: what AlbertNer, evaluation and training share when they load a model. */

import { fileURLToPath } from 'node:url';
import { TagSet } from '../labels/scheme.js';
import type { NativeSession } from '../native/binding.js';
import { loadNative } from '../native/load.js';
import { type ModelDescription, readModelDirectory } from './model-directory.js';
import { nativeEncoderConfig, nativeHeadConfig } from './native-config.js';
import { Tagger } from './tagger.js';

export interface LoadOptions {
  /** "auto" (CUDA when it can be used, else CPU), "cpu", "cuda" or "cuda:N". Default "auto". */
  device?: string;
  /** Threads of this model's worker. Default 0: physical cores, at most the cgroup's quota. */
  threads?: number;
}

/** The model that ships with the package. */
export const DEFAULT_MODEL = fileURLToPath(new URL('../../../models/default', import.meta.url));

export interface LoadedModel {
  description: ModelDescription;
  session: NativeSession;
  tagger: Tagger;
}

/** Opens a session; it throws ERR_NATIVE_NOT_FOUND, ERR_NATIVE_VERSION, ERR_DEVICE_UNAVAILABLE. */
export function openSession({ device = 'auto', threads = 0 }: LoadOptions = {}): NativeSession {
  const addon = loadNative();
  return new addon.Session({ device, threads });
}

/** The caller disposes of the session. */
export async function loadModel(directory: string, options: LoadOptions = {}): Promise<LoadedModel> {
  const { description, vocab, encoderWeights, headWeights, ngramKeys } = await readModelDirectory(directory);
  const { encoder, head, labels, scheme, text } = description;
  const session = openSession(options);
  try {
    const shape = { ...head, ngramKeys, tagSet: new TagSet(labels, scheme) };
    await session.loadEncoder(nativeEncoderConfig(encoder, vocab, head.layer), encoderWeights);
    await session.loadHead(nativeHeadConfig(shape, encoder), headWeights);
  } catch (error) {
    await session.dispose();
    throw error;
  }
  return { description, session, tagger: new Tagger({ addon: loadNative(), session, vocab, labels, text }) };
}
