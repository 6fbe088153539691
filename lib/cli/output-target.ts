/** Where a command will write, tried before its work starts: hours later would be too late to hear that it can't be. */

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { AlbertNerError } from '../errors.js';

function unusable(option: string, path: string, what: string, why: string, cause?: unknown): AlbertNerError {
  return new AlbertNerError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${what} that can be written for ${option} but received ${path}: ${why}`,
    { details: { option, file: path }, cause },
  );
}

/** Rejects with ERR_INVALID_ARGUMENT when no file can be put there. */
export async function checkOutputFile(option: string, path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) throw unusable(option, path, 'a file', 'it is a folder');
  // A device or pipe would be replaced by a file of its name.
  if (found && !found.isFile()) throw unusable(option, path, 'a file', 'it is a device or a pipe');
  await tryFolder(dirname(path)).catch((error: Error) => {
    throw unusable(option, path, 'a file', error.message, error);
  });
}

/** Rejects with ERR_INVALID_ARGUMENT when nothing can be put in there. */
export async function checkOutputFolder(option: string, path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found && !found.isDirectory()) throw unusable(option, path, 'a folder', 'it is a file');
  await tryFolder(path).catch((error: Error) => {
    throw unusable(option, path, 'a folder', error.message, error);
  });
}

/** Permissions tell only half of it: file systems may be read-only or full. Leaves nothing behind. */
async function tryFolder(folder: string): Promise<void> {
  const made = await mkdir(folder, { recursive: true });
  const file = join(folder, `.albert-ner-${randomBytes(4).toString('hex')}.tmp`);
  try {
    await writeFile(file, '');
  } finally {
    await rm(file, { force: true });
    if (made !== undefined) await rm(made, { recursive: true });
  }
}

/** What a folder holds that a run would replace, if anything. */
export interface Occupied {
  /** "a model" */
  what: string;
  /** Files by which it is known. */
  marks: readonly string[];
}

/** A run must not replace what it starts from. ERR_INVALID_ARGUMENT */
export function checkOtherFolder(option: string, path: string, source: string, from: string): void {
  if (resolve(path) !== resolve(from)) return;
  throw new AlbertNerError(
    'ERR_INVALID_ARGUMENT',
    `Expected another folder for ${option} than for ${source} but received the same, ${path}`,
    { details: { option, file: path } },
  );
}

/**
 * A run goes on with what is in its folder, or replaces it, but only when it is told so. ERR_INVALID_ARGUMENT
 */
export function checkReplaced(
  option: string,
  folder: string,
  { resume, overwrite }: { resume?: boolean; overwrite?: boolean },
  { what, marks }: Occupied,
): void {
  if (resume && overwrite) {
    throw new AlbertNerError('ERR_INVALID_ARGUMENT', 'Expected --resume or --overwrite but received both', {
      details: { option: '--overwrite' },
    });
  }
  if (resume || overwrite || !marks.some((mark) => existsSync(join(folder, mark)))) return;
  const resumable = marks.some((mark) => mark.startsWith('training'));
  throw new AlbertNerError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${resumable ? '--resume to go on, or --overwrite to begin anew' : '--overwrite to replace it'}, since ` +
      `${folder} for ${option} holds ${what}`,
    { details: { option, file: folder } },
  );
}
