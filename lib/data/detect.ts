/** Which reader a corpus path wants, by what is there. */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AlbertNerError } from '../errors.js';
import type { CorpusFormat } from './sentences.js';

export const SOURCE_FILE = 'source.txt';
export const TARGET_FILE = 'target.txt';

/** Whether a path is that of a pair of files. Rejects with ERR_INVALID_DATA when there is nothing, or a folder without the pair. */
export async function isPair(path: string): Promise<boolean> {
  if (await isFolder(path)) {
    const names = await readdir(path);
    if (names.includes(SOURCE_FILE) && names.includes(TARGET_FILE)) return true;
    throw new AlbertNerError(
      'ERR_INVALID_DATA',
      `Expected ${SOURCE_FILE} and ${TARGET_FILE} in the folder ${path} but found ${names.slice(0, 8).join(', ') || 'nothing'}`,
      { details: { file: path } },
    );
  }
  if (basename(path) !== SOURCE_FILE) return false;
  return (await readdir(dirname(path))).includes(TARGET_FILE);
}

const DETECTION_LINES = 200;

/** The form of a file by its first lines: one that opens an object makes JSON lines, an entity in double braces running text. */
export function formatOf(lines: readonly string[]): Exclude<CorpusFormat, 'pair'> {
  const beginning = lines.slice(0, DETECTION_LINES);
  const first = beginning.find((line) => line.trim() !== '') ?? '';
  // An array isn't JSON lines, but their reader says so best.
  if (/^\s*(\{\s*("|$)|\["|\[\[\s*["[{]|\[\s*(\{|$))/.test(first)) return 'jsonl';
  return beginning.some((line) => OPENING.test(line)) ? 'inline' : 'conll';
}

/** Full-width braces and colons are slips that the reader names. */
const OPENING = /(\{\{|｛｛)[^{}｛｝:：]+[:：]/;

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
