/**
 * Plain text for pretraining: one paragraph a line, a blank line between documents; files, folders of them, and files
 * compressed with gzip or xz. Read as streams, one document in memory at a time.
 */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AlbertNerError } from '../errors.js';
import { openDecompressed } from '../files.js';

const TEXT_NAME = /\.(txt|text)(\.gz|\.xz)?$/;

/** Longer documents are cut after a paragraph, and paragraphs anywhere, so that memory stays bounded. */
const MAX_DOCUMENT_CHARACTERS = 4096;

export interface TextFile {
  path: string;
  bytes: number;
}

/**
 * The files meant by paths: files as they are, and of folders every .txt, .txt.gz and .txt.xz in and below, sorted by
 * path. Rejects with ERR_INVALID_DATA: a path that doesn't exist, no file at all.
 */
export async function listTextFiles(paths: readonly string[]): Promise<TextFile[]> {
  const found = (await Promise.all(paths.map(expand))).flat();
  if (found.length === 0) {
    throw new AlbertNerError(
      'ERR_INVALID_DATA',
      `Expected text files (.txt, .txt.gz, .txt.xz) but found none in ${paths.join(', ')}`,
    );
  }
  return found;
}

async function expand(path: string): Promise<TextFile[]> {
  let info: Awaited<ReturnType<typeof stat>>;
  try {
    info = await stat(path);
  } catch (cause) {
    throw unreadable(path, (cause as Error).message, cause);
  }
  if (!info.isDirectory()) return [{ path, bytes: info.size }];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && TEXT_NAME.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  return Promise.all(files.map(async (file) => ({ path: file, bytes: (await stat(file)).size })));
}

/**
 * The documents of a file, each as its paragraphs joined by '\n'. `onBytes` is called with the number of compressed
 * bytes read so far. Throws ERR_INVALID_DATA: unreadable, damaged, not UTF-8.
 */
export async function* readDocuments(
  file: string,
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<string> {
  let paragraphs: string[] = [];
  let characters = 0;
  for await (const line of readLines(file, onBytes)) {
    if (line.trim() !== '') {
      paragraphs.push(line);
      characters += line.length;
    }
    const ended = line.trim() === '' || characters >= MAX_DOCUMENT_CHARACTERS;
    if (!ended || paragraphs.length === 0) continue;
    yield paragraphs.join('\n');
    paragraphs = [];
    characters = 0;
  }
  if (paragraphs.length > 0) yield paragraphs.join('\n');
}

/** Lines without their ends, none longer than a document may be. */
async function* readLines(file: string, onBytes: (bytes: number) => void): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  try {
    for await (const chunk of await openDecompressed(file, onBytes)) {
      rest += decoder.decode(chunk, { stream: true });
      const lines = rest.split('\n');
      rest = lines.pop() as string;
      for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line;
      if (rest.length > MAX_DOCUMENT_CHARACTERS) {
        yield rest;
        rest = '';
      }
    }
    rest += decoder.decode();
  } catch (cause) {
    if (cause instanceof AlbertNerError) throw cause;
    const notUtf8 = (cause as { code?: string }).code === 'ERR_ENCODING_INVALID_ENCODED_DATA';
    throw unreadable(file, notUtf8 ? 'it is not UTF-8' : (cause as Error).message, cause);
  }
  if (rest !== '') yield rest;
}

function unreadable(file: string, why: string, cause: unknown): AlbertNerError {
  return new AlbertNerError('ERR_INVALID_DATA', `Can't read ${file}: ${why}`, { details: { file }, cause });
}
