/** Corpora as tests write them, and what reading gives in a form that is easy to compare. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { LabelledSentence } from '../../lib/data/sentences.js';
import type { AlbertNerError } from '../../lib/errors.js';
import { temporaryFolder } from './paths.js';

/** A file in a new folder. */
export async function fileWith(
  t: ExecutionContext,
  content: string | Uint8Array,
  name = 'corpus.txt',
): Promise<string> {
  const file = join(await temporaryFolder(t), name);
  await writeFile(file, content);
  return file;
}

/** A pair of files, as its folder. */
export async function pairFolder(t: ExecutionContext, source: string, target: string): Promise<string> {
  const folder = await temporaryFolder(t);
  await writePair(folder, source, target);
  return folder;
}

export async function writePair(folder: string, source: string, target: string): Promise<void> {
  await writeFile(join(folder, 'source.txt'), source);
  await writeFile(join(folder, 'target.txt'), target);
}

/** The error something rejects with. */
export async function refusal(promise: Promise<unknown>): Promise<AlbertNerError> {
  try {
    await promise;
  } catch (error) {
    return error as AlbertNerError;
  }
  throw new Error('Expected a rejection');
}

/** Each sentence as its text and its entities, "entity/label". */
export const shown = (sentences: readonly Pick<LabelledSentence, 'text' | 'spans'>[]) =>
  sentences.map(({ text, spans }) => [
    text,
    ...spans.map(({ start, end, label }) => `${text.slice(start, end)}/${label}`),
  ]);
