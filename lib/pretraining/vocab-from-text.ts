/** A vocabulary from text files, read as streams. */

import { throwIfAborted } from '../model/cancellation.js';
import { type BuildVocabOptions, VocabBuilder } from '../text/build-vocab.js';
import type { Vocab } from '../text/vocab.js';
import { listTextFiles, readDocuments } from './text-files.js';

export interface VocabFromTextOptions extends BuildVocabOptions {
  signal?: AbortSignal;
  /** Compressed bytes read so far, of all. */
  onProgress?: (done: number, total: number) => void;
}

/** Rejects with ERR_INVALID_DATA (unreadable text), ERR_ABORTED. */
export async function vocabFromText(
  paths: readonly string[],
  { signal, onProgress, ...options }: VocabFromTextOptions = {},
): Promise<Vocab> {
  const files = await listTextFiles(paths);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const builder = new VocabBuilder();
  let finished = 0;
  for (const { path, bytes } of files) {
    for await (const document of readDocuments(path, (read) => onProgress?.(finished + read, total))) {
      throwIfAborted(signal);
      builder.add(document);
    }
    finished += bytes;
  }
  return builder.build(options);
}
