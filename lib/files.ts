/** Files written so that no reader ever sees half of one, and files read with clear errors. */

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync, type Stats } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { AlbertNerError } from './errors.js';

/**
 * Lets `write` fill a temporary file in the same folder (made if missing), flushes it and renames it to `path`. When
 * anything fails the temporary file is removed and `path` is as it was.
 */
export async function replaceFile<T>(path: string, write: (file: FileHandle) => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  await removeAbandoned(path);
  const temporary = temporaryName(path);
  try {
    const file = await open(temporary, 'wx');
    let result: T;
    try {
      result = await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
    return result;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Beside `path`, of this process. */
export function temporaryName(path: string): string {
  return `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
}

/** A writer touches its file more often than this; one of another machine or container can't be seen to live. */
const ABANDONED_AFTER_MS = 10 * 60 * 1000;

/** Removes what processes that were killed had begun to write in place of `path`. */
export async function removeAbandoned(path: string): Promise<void> {
  const folder = dirname(path);
  const name = basename(path);
  const entries = await readdir(folder).catch((): string[] => []);
  for (const entry of entries) {
    const pid = /^\.(\d+)-[0-9a-f]{8}\.tmp$/.exec(entry.slice(name.length))?.[1];
    if (pid === undefined || !entry.startsWith(name)) continue;
    const { mtimeMs = Number.POSITIVE_INFINITY } = await stat(join(folder, entry)).catch(() => ({}) as Stats);
    if (Date.now() - mtimeMs < ABANDONED_AFTER_MS || isWriting(Number(pid), mtimeMs)) continue;
    await rm(join(folder, entry), { recursive: true, force: true });
  }
}

/** Whether the process of this number may have written a file at this time. */
function isWriting(pid: number, mtimeMs: number): boolean {
  // In a container every process has the number of the one before it.
  if (pid === process.pid) return mtimeMs >= Date.now() - process.uptime() * 1000;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Makes names that were changed in a folder outlast a loss of power, where the system can. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null);
  if (handle === null) return; // Windows opens no folders.
  try {
    await handle.sync().catch(() => {}); // Some file systems don't.
  } finally {
    await handle.close();
  }
}

/** Writes a whole file beside its place and renames it there. */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  await replaceFile(path, (file) => file.writeFile(data));
}

/** Files being written stand in a folder of this name inside their own, so that renaming them is instant. */
const STAGING_FOLDER = '.writing';

/**
 * Files of a folder that belong together. `write` puts them into another folder; when all are there, `marks` are removed
 * from `directory` and then the files renamed into it in the order of `names`. A reader that asks for a mark, which is
 * renamed last, finds the old files, the new ones, or no mark, never a mixture; when `write` fails nothing has changed.
 * One writer at a time.
 */
export async function replaceFiles<T>(
  directory: string,
  { names, marks }: { names: readonly string[]; marks: readonly string[] },
  write: (staging: string) => Promise<T>,
): Promise<T> {
  const staging = join(directory, STAGING_FOLDER);
  await rm(staging, { recursive: true, force: true });
  try {
    const result = await write(staging);
    for (const mark of marks) await rm(join(directory, mark), { force: true });
    for (const name of names) await rename(join(staging, name), join(directory, name));
    await syncFolder(directory);
    return result;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

const LFS_POINTER = 'version https://git-lfs.github.com/spec/';
/** What to say of a text for which `isLfsPointer` is true. */
export const LFS_REMEDY = 'it is a pointer of Git LFS, not the file itself; fetch that with: git lfs pull';

/** Whether a file is what a repository holds in place of a large one that wasn't fetched. Its first bytes tell. */
export function isLfsPointer(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, LFS_POINTER.length)).toString('latin1') === LFS_POINTER;
}

/** Hex digest of text as UTF-8. */
export function sha256Text(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Times a reader of a folder begins anew when it is written meanwhile, and what it waits for the writer to come to an end. */
const MOST_READS = 20;
const WRITER_WAIT_MS = 25;

/**
 * What `read` makes of a folder that `replaceFiles` writes, all of it of one state: when the mark was replaced meanwhile, or is
 * missing while a writer is at work, `read` begins anew. The last attempt's result or error counts.
 */
export async function readFolder<T>(directory: string, mark: string, read: () => Promise<T>): Promise<T> {
  const state = async () => {
    const { ino, mtimeNs, size } = await stat(join(directory, mark), { bigint: true });
    return `${ino} ${mtimeNs} ${size}`;
  };
  const stateOrNone = () => state().catch(() => null);
  for (let attempt = 1; ; attempt += 1) {
    const before = await stateOrNone();
    const outcome = await read().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    const after = await stateOrNone();
    const isWritten = before !== after || (after === null && existsSync(join(directory, STAGING_FOLDER)));
    if (!isWritten || attempt === MOST_READS) {
      if ('error' in outcome) throw outcome.error;
      return outcome.value;
    }
    await wait(WRITER_WAIT_MS);
  }
}

/** Hex digest. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}

/** UTF-8 text without a byte order mark. Rejects with ERR_INVALID_DATA: unreadable, not UTF-8. */
export async function readTextFile(file: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (cause) {
    const why = cause instanceof TypeError ? 'it is not UTF-8' : (cause as Error).message;
    throw new AlbertNerError('ERR_INVALID_DATA', `Can't read ${file}: ${why}`, { details: { file }, cause });
  }
}

/**
 * The bytes of a file, decompressed if its name ends in .gz or .xz. `onBytes` is called with the number of bytes read of
 * the file itself so far. Whoever stops reading early frees the file.
 */
export async function openDecompressed(
  file: string,
  onBytes: (bytes: number) => void = () => {},
): Promise<AsyncIterable<Uint8Array>> {
  // Loaded before the file is opened: an error of the stream with nobody listening yet would end the process.
  const xz = file.endsWith('.xz') ? (await import('xz-decompress')).default : null;
  const source = createReadStream(file, { highWaterMark: 1 << 18 });
  let bytes = 0;
  source.on('data', (chunk) => {
    bytes += chunk.length;
    onBytes(bytes);
  });
  source.pause();
  // Errors of either side and an early end reach the other; the reader sees them on the stream it reads.
  if (file.endsWith('.gz')) return pipeline(source, createGunzip(), () => {});
  if (xz === null) return source;
  return Readable.fromWeb(new xz.XzReadableStream(Readable.toWeb(source) as never) as never);
}
