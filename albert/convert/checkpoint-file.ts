/**
 * One file of a checkpoint: opened once, proved to be a regular file, read by descriptor and never beyond the size it had
 * then. Refusals carry file, byte offset and reason.
 */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { AlbertNerError, type ErrorDetails } from '../../lib/errors.js';
import { isLfsPointer, LFS_REMEDY } from '../../lib/files.js';

/** A pointer of Git LFS is shorter than this, by its specification. */
const MOST_LFS_BYTES = 1024;

/** ERR_CHECKPOINT_UNREADABLE of a file that can't be what it should be. */
export function unreadable(
  file: string,
  reason: string,
  what: string,
  details: ErrorDetails = {},
): AlbertNerError {
  return new AlbertNerError('ERR_CHECKPOINT_UNREADABLE', `Can't read ${file}: ${what}`, {
    details: { file, reason, ...details },
  });
}

export class CheckpointFile {
  readonly path: string;
  readonly size: number;
  private readonly handle: FileHandle;

  private constructor(path: string, handle: FileHandle, size: number) {
    this.path = path;
    this.handle = handle;
    this.size = size;
  }

  /** Rejects with ERR_MODEL_NOT_FOUND when it can't be opened, E_IO when it isn't a regular file, E_LFS_POINTER when it is a pointer to one. */
  static async open(path: string): Promise<CheckpointFile> {
    let handle: FileHandle;
    try {
      // Without O_NONBLOCK opening a pipe would wait for its writer.
      handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    } catch (cause) {
      throw new AlbertNerError('ERR_MODEL_NOT_FOUND', `Can't open ${path}: ${(cause as Error).message}`, {
        details: { file: path },
        cause,
      });
    }
    const stats = await handle.stat();
    const file = new CheckpointFile(path, handle, stats.size);
    const problem = await file.problem(stats.isFile());
    if (problem === null) return file;
    await handle.close();
    throw problem;
  }

  private async problem(isRegular: boolean): Promise<AlbertNerError | null> {
    if (!isRegular) return this.refusal('E_IO', 'it is not a regular file', 0);
    if (this.size > MOST_LFS_BYTES) return null;
    return isLfsPointer(await this.bytes(0, this.size)) ? this.refusal('E_LFS_POINTER', LFS_REMEDY, 0) : null;
  }

  refusal(reason: string, what: string, byteOffset: number, details: ErrorDetails = {}): AlbertNerError {
    return unreadable(this.path, reason, `${what} (byte ${byteOffset})`, { byteOffset, ...details });
  }

  /** Fills `target` from `position`. Rejects with E_TRUNCATED when the file ends before. */
  async read(target: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.handle.read(target, done, target.length - done, position + done);
      if (bytesRead === 0) {
        const expected = position + target.length;
        throw this.refusal('E_TRUNCATED', `it should have ${expected} bytes or more`, position + done, {
          expected,
          actual: position + done,
        });
      }
      done += bytesRead;
    }
  }

  /** A part of the file; allocates nothing when the file is too short for it. */
  async bytes(position: number, length: number): Promise<Buffer> {
    if (position + length > this.size) {
      throw this.refusal('E_TRUNCATED', `it should have ${position + length} bytes or more`, this.size, {
        expected: position + length,
        actual: this.size,
      });
    }
    const target = Buffer.allocUnsafe(length);
    await this.read(target, position);
    return target;
  }

  /** Calls `take` with the range in parts of at most `chunkBytes`. */
  async forEachChunk(
    begin: number,
    end: number,
    take: (chunk: Uint8Array) => void,
    chunkBytes = 1 << 20,
  ): Promise<void> {
    const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, end - begin));
    for (let position = begin; position < end; position += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, end - position));
      await this.read(part, position);
      take(part);
    }
  }

  /** Rejects with E_IO when the file has got another size since it was opened. */
  async checkUnchanged(): Promise<void> {
    const { size } = await this.handle.stat();
    if (size !== this.size)
      throw this.refusal('E_IO', 'it changed while it was read', Math.min(size, this.size));
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** UTF-8 text of a regular file of at most `maxBytes`, without a byte order mark. Rejects as `CheckpointFile.open` does, and with E_IO. */
export async function readSmallText(path: string, maxBytes: number): Promise<string> {
  const file = await CheckpointFile.open(path);
  try {
    if (file.size > maxBytes)
      throw file.refusal('E_IO', `it has ${file.size} bytes, more than ${maxBytes}`, maxBytes);
    return (await file.bytes(0, file.size)).toString('utf8').replace(/^\ufeff/, '');
  } finally {
    await file.close();
  }
}
