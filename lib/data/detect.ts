/** Which reader a corpus path wants, by what is there. */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AlbertNerError } from '../errors.js';
import { openDecompressed } from '../files.js';
import type { CorpusFormat } from './sentences.js';

export const SOURCE_FILE = 'source.txt';
export const TARGET_FILE = 'target.txt';

/** Rejects with ERR_INVALID_DATA when there is nothing, or a folder without the pair. */
export async function detectFormat(path: string): Promise<CorpusFormat> {
  if (await isFolder(path)) {
    const names = await readdir(path);
    if (names.includes(SOURCE_FILE) && names.includes(TARGET_FILE)) return 'pair';
    throw new AlbertNerError(
      'ERR_INVALID_DATA',
      `Expected ${SOURCE_FILE} and ${TARGET_FILE} in the folder ${path} but found ${names.slice(0, 8).join(', ') || 'nothing'}`,
      { details: { file: path } },
    );
  }
  if (basename(path) !== SOURCE_FILE) return fromContent(await beginning(path));
  const names = await readdir(dirname(path));
  return names.includes(TARGET_FILE) ? 'pair' : 'conll';
}

const DETECTION_BYTES = 1 << 14;

/** An object with a first key makes JSON lines, an entity in double braces running text. */
function fromContent(text: string): CorpusFormat {
  if (/^\s*\{\s*"[^"\n]*"\s*:/.test(text)) return 'jsonl';
  return /\{\{[^{}:\n]+:[^{}\n]*\}\}/.test(text) ? 'inline' : 'conll';
}

/** The first kilobytes. A file that can't be read is left to its reader. */
async function beginning(path: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of await openDecompressed(path)) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= DETECTION_BYTES) break;
    }
  } catch {
    return '';
  }
  return Buffer.concat(chunks).toString('utf8', 0, DETECTION_BYTES);
}

/** The two files of a pair, given their folder or its source.txt. */
export async function pairFiles(path: string): Promise<{ source: string; target: string }> {
  const folder = (await isFolder(path)) ? path : dirname(path);
  return { source: join(folder, SOURCE_FILE), target: join(folder, TARGET_FILE) };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw new AlbertNerError(
      'ERR_INVALID_DATA',
      `Can't read the corpus ${path}: ${(cause as Error).message}`,
      {
        details: { file: path },
        cause,
      },
    );
  }
}
