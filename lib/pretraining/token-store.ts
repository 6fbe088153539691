/**
 * The pretraining text as vocabulary ids, on disk: documents dealt out to shards in turn, so that every shard is a
 * mixture of all sources and one shard in memory is enough to shuffle well. Made once per text and vocabulary; opening
 * it again costs nothing. Little-endian, as every machine libtorch runs on.
 *
 *     index.json              what was read, and the size of every part
 *     shard-NN.ids            uint16 ids of all documents, one after the other
 *     shard-NN.lengths        uint32 units of each document
 *     held-out.ids, .lengths  documents that are never trained on
 */

import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AlbertNerError } from '../errors.js';
import { throwIfAborted } from '../model/cancellation.js';
import { Tokenizer } from '../text/tokenizer.js';
import type { Vocab } from '../text/vocab.js';
import { readDocuments, type TextFile } from './text-files.js';

const FORMAT_VERSION = 1;
const INDEX_FILE = 'index.json';
const HELD_OUT = 'held-out';
/** One document in this many is held out, until there are enough. */
const HELD_OUT_EVERY = 100;
const MAX_HELD_OUT_UNITS = 200_000;
/** Compressed bytes per shard, roughly: a few million units, so that a shard's plan is small. */
const BYTES_PER_SHARD = 4 << 20;
const FLUSH_UNITS = 1 << 18;
const MAX_VOCAB = 1 << 16;

interface StoreIndex {
  formatVersion: typeof FORMAT_VERSION;
  /** Hash of the vocabulary and of the names and sizes of the files. */
  key: string;
  shards: PartSize[];
  heldOut: PartSize;
  /** Units that read as [UNK], of all. */
  unknownUnits: number;
}

export interface PartSize {
  documents: number;
  units: number;
}

/** Documents in memory, packed. */
export interface TokenPart {
  ids: Uint16Array;
  /** [documents + 1] */
  offsets: Uint32Array;
}

export interface BuildOptions {
  files: readonly TextFile[];
  vocab: Vocab;
  signal?: AbortSignal;
  /** Compressed bytes read so far, of all. */
  onProgress?: (done: number, total: number) => void;
}

export class TokenStore {
  readonly index: StoreIndex;
  private readonly directory: string;

  private constructor(directory: string, index: StoreIndex) {
    this.directory = directory;
    this.index = index;
  }

  /** The store of these files in `directory`, made when it isn't there. Rejects with ERR_INVALID_DATA, ERR_ABORTED. */
  static async open(directory: string, options: BuildOptions): Promise<TokenStore> {
    const key = storeKey(options);
    const present = await readIndex(directory);
    if (present?.key === key) return new TokenStore(directory, present);
    const temporary = `${directory}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
    await mkdir(temporary, { recursive: true });
    try {
      const index = await buildStore(temporary, key, options);
      await rm(directory, { recursive: true, force: true });
      await rename(temporary, directory);
      return new TokenStore(directory, index);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  get shardCount(): number {
    return this.index.shards.length;
  }

  get units(): number {
    return this.index.shards.reduce((sum, { units }) => sum + units, 0);
  }

  shard(number: number): Promise<TokenPart> {
    return this.read(shardName(number), this.index.shards[number]);
  }

  heldOut(): Promise<TokenPart> {
    return this.read(HELD_OUT, this.index.heldOut);
  }

  private async read(name: string, { documents, units }: PartSize): Promise<TokenPart> {
    const ids = await readArray(join(this.directory, `${name}.ids`), Uint16Array);
    const lengths = await readArray(join(this.directory, `${name}.lengths`), Uint32Array);
    const offsets = new Uint32Array(lengths.length + 1);
    for (const [document, length] of lengths.entries()) offsets[document + 1] = offsets[document] + length;
    if (lengths.length !== documents || ids.length !== units || offsets[documents] !== units) {
      throw new AlbertNerError(
        'ERR_INVALID_DATA',
        `${join(this.directory, name)} is damaged; delete the folder`,
        {
          details: { file: join(this.directory, `${name}.ids`) },
        },
      );
    }
    return { ids, offsets };
  }
}

function shardName(number: number): string {
  return `shard-${String(number).padStart(2, '0')}`;
}

function storeKey({ files, vocab }: BuildOptions): string {
  const hash = createHash('sha256').update(`${FORMAT_VERSION}\n`).update(vocab.serialize());
  for (const { path, bytes } of files) hash.update(`${basename(path)} ${bytes}\n`);
  return hash.digest('hex');
}

async function readIndex(directory: string): Promise<StoreIndex | null> {
  try {
    return JSON.parse(await readFile(join(directory, INDEX_FILE), 'utf8')) as StoreIndex;
  } catch {
    return null;
  }
}

async function readArray<T extends Uint16Array | Uint32Array>(
  file: string,
  Kind: { new (buffer: ArrayBuffer): T; BYTES_PER_ELEMENT: number },
): Promise<T> {
  const { size } = await stat(file);
  const buffer = new ArrayBuffer(size - (size % Kind.BYTES_PER_ELEMENT));
  const handle = await open(file, 'r');
  try {
    await handle.read(new Uint8Array(buffer), 0, buffer.byteLength, 0);
  } finally {
    await handle.close();
  }
  return new Kind(buffer);
}

/** Appends documents to the two files of a part. */
class PartWriter {
  readonly size: PartSize = { documents: 0, units: 0 };
  private readonly files: readonly [FileHandle, FileHandle];
  private pending: Uint16Array[] = [];
  private pendingUnits = 0;

  private constructor(files: readonly [FileHandle, FileHandle]) {
    this.files = files;
  }

  static async create(directory: string, name: string): Promise<PartWriter> {
    const path = join(directory, name);
    return new PartWriter([await open(`${path}.ids`, 'wx'), await open(`${path}.lengths`, 'wx')]);
  }

  async add(ids: Uint16Array): Promise<void> {
    this.pending.push(ids);
    this.pendingUnits += ids.length;
    this.size.documents += 1;
    this.size.units += ids.length;
    if (this.pendingUnits >= FLUSH_UNITS) await this.flush();
  }

  private async flush(): Promise<void> {
    const lengths = Uint32Array.from(this.pending, ({ length }) => length);
    const bytes = this.pending.map((ids) => new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));
    await this.files[0].writeFile(Buffer.concat(bytes));
    await this.files[1].writeFile(new Uint8Array(lengths.buffer));
    this.pending = [];
    this.pendingUnits = 0;
  }

  async close(): Promise<void> {
    await this.flush();
    for (const file of this.files) {
      await file.sync();
      await file.close();
    }
  }
}

async function buildStore(
  directory: string,
  key: string,
  { files, vocab, signal, onProgress }: BuildOptions,
): Promise<StoreIndex> {
  if (vocab.size > MAX_VOCAB) {
    throw new AlbertNerError(
      'ERR_INVALID_ARGUMENT',
      `Expected a vocabulary of at most ${MAX_VOCAB} entries for pretraining but received ${vocab.size}`,
    );
  }
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const shardCount = Math.max(1, Math.min(100, Math.round(total / BYTES_PER_SHARD)));
  const shards = await Promise.all(
    Array.from({ length: shardCount }, (_, number) => PartWriter.create(directory, shardName(number))),
  );
  const heldOut = await PartWriter.create(directory, HELD_OUT);
  const tokenizer = new Tokenizer(vocab);
  let document = 0;
  let unknownUnits = 0;
  let finishedBytes = 0;
  for (const { path, bytes } of files) {
    for await (const text of readDocuments(path, (read) => onProgress?.(finishedBytes + read, total))) {
      throwIfAborted(signal);
      const ids = Uint16Array.from(tokenizer.tokenize(text).ids);
      if (ids.length === 0) continue;
      unknownUnits += ids.reduce((count, id) => count + (id === vocab.unkId ? 1 : 0), 0);
      const kept =
        document % HELD_OUT_EVERY === HELD_OUT_EVERY - 1 && heldOut.size.units < MAX_HELD_OUT_UNITS;
      await (kept ? heldOut : shards[document % shardCount]).add(ids);
      document += 1;
    }
    finishedBytes += bytes;
  }
  if (document === 0) {
    throw new AlbertNerError('ERR_INVALID_DATA', 'The pretraining text holds no character that is read');
  }
  for (const part of [...shards, heldOut]) await part.close();
  const index: StoreIndex = {
    formatVersion: FORMAT_VERSION,
    key,
    shards: shards.map(({ size }) => size),
    heldOut: heldOut.size,
    unknownUnits,
  };
  await writeFile(join(directory, INDEX_FILE), `${JSON.stringify(index, null, 2)}\n`);
  return index;
}
