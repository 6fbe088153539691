/**
 * The sorted table a TensorFlow bundle's index is: a footer that points at an index block, which points at data blocks
 * with prefix-compressed keys (LevelDB's layout). Checks every byte it relies on: checksums, order, bounds.
 */

import type { CheckpointFile } from './checkpoint-file.js';
import { maskedCrc32c } from './crc32c.js';
import { readVarint } from './protobuf.js';

export interface TableEntry {
  key: Uint8Array;
  value: Uint8Array;
  /** Of the entry and of its value, in the file. */
  offset: number;
  valueOffset: number;
}

const FOOTER_BYTES = 48;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
/** Type and checksum behind every block. */
const TRAILER_BYTES = 5;
const MAX_TABLE_BYTES = 64 << 20;
const MAX_ENTRIES = 100_000;
const MAX_KEY_BYTES = 4096;
/** A shared prefix costs nothing in the file: without this bound a small file could hold gigabytes of keys. */
const MAX_ALL_KEY_BYTES = 32 << 20;

/** Whether the file ends as a sorted table does. */
export async function endsAsTable(file: CheckpointFile): Promise<boolean> {
  if (file.size < FOOTER_BYTES) return false;
  return (await file.bytes(file.size - MAGIC.length, MAGIC.length)).equals(MAGIC);
}

/**
 * All entries in the order of their keys. Rejects with E_TRUNCATED, E_TF_CRC, E_TF_COMPRESSED or E_TF_INDEX and the byte.
 */
export async function readTable(file: CheckpointFile): Promise<TableEntry[]> {
  const fail = (what: string, byteOffset: number) => file.refusal('E_TF_INDEX', what, byteOffset);
  if (file.size < FOOTER_BYTES) {
    throw file.refusal('E_TRUNCATED', `an index of ${file.size} bytes`, file.size, {
      expected: FOOTER_BYTES,
      actual: file.size,
    });
  }
  if (file.size > MAX_TABLE_BYTES) throw fail(`an index of ${file.size} bytes`, 0);
  const bytes = await file.bytes(0, file.size);
  const footer = file.size - FOOTER_BYTES;
  if (!bytes.subarray(file.size - MAGIC.length).equals(MAGIC)) {
    throw fail("it doesn't end as a TensorFlow index does", file.size - MAGIC.length);
  }
  const metaindex = readHandle(bytes, footer);
  const index = metaindex && readHandle(bytes, metaindex.next);
  if (!metaindex || !index || index.next > file.size - MAGIC.length) throw fail('a damaged footer', footer);
  if (bytes.subarray(index.next, file.size - MAGIC.length).some((byte) => byte !== 0)) {
    throw fail('a damaged footer', index.next);
  }
  const reader = new BlockReader(file, bytes, footer);
  reader.entries(metaindex);
  const entries: TableEntry[] = [];
  for (const { key: limit, value, valueOffset } of reader.entries(index)) {
    const handle = readHandle(bytes.subarray(0, valueOffset + value.length), valueOffset);
    if (!handle || handle.next !== valueOffset + value.length)
      throw fail('a damaged block handle', valueOffset);
    for (const entry of reader.entries(handle)) {
      const previous = entries.at(-1);
      if (previous && Buffer.compare(previous.key, entry.key) >= 0)
        throw fail('keys out of order', entry.offset);
      if (entries.length === MAX_ENTRIES) throw fail(`more than ${MAX_ENTRIES} entries`, entry.offset);
      entries.push(entry);
    }
    const last = entries.at(-1);
    if (last && Buffer.compare(last.key, limit) > 0) throw fail('keys out of order', valueOffset);
  }
  return entries;
}

interface BlockHandle {
  offset: number;
  size: number;
  /** Offset after the handle itself. */
  next: number;
}

function readHandle(bytes: Uint8Array, at: number): BlockHandle | null {
  const offset = readVarint(bytes, at);
  const size = offset && readVarint(bytes, offset.next);
  return size && { offset: offset.value, size: size.value, next: size.next };
}

class BlockReader {
  private readonly file: CheckpointFile;
  private readonly bytes: Buffer;
  private readonly footer: number;
  private keyBytes = 0;

  constructor(file: CheckpointFile, bytes: Buffer, footer: number) {
    this.file = file;
    this.bytes = bytes;
    this.footer = footer;
  }

  entries({ offset, size }: BlockHandle): TableEntry[] {
    const end = this.checkBlock(offset, size);
    const entriesEnd = this.checkRestarts(offset, end);
    const restarts = new Set<number>();
    for (let at = entriesEnd; at < end - 4; at += 4) restarts.add(offset + this.bytes.readUInt32LE(at));
    const entries: TableEntry[] = [];
    let key: Uint8Array = new Uint8Array(0);
    let at = offset;
    while (at < entriesEnd) {
      const entry = this.entry(at, entriesEnd, restarts.delete(at) ? null : key);
      entries.push(entry);
      if (entries.length > MAX_ENTRIES) throw this.fail(`more than ${MAX_ENTRIES} entries`, at);
      key = entry.key;
      at = entry.valueOffset + entry.value.length;
    }
    if (entries.length === 0) restarts.delete(offset);
    if (restarts.size > 0) throw this.fail('a restart that is no entry', [...restarts][0]);
    return entries;
  }

  private fail(what: string, byteOffset: number) {
    return this.file.refusal('E_TF_INDEX', what, byteOffset);
  }

  /** Returns the end of the block's contents. */
  private checkBlock(offset: number, size: number): number {
    if (offset + size + TRAILER_BYTES > this.footer) throw this.fail('a block past the footer', this.footer);
    const end = offset + size;
    if (maskedCrc32c(this.bytes.subarray(offset, end + 1)) !== this.bytes.readUInt32LE(end + 1)) {
      throw this.file.refusal('E_TF_CRC', 'the checksum of a block differs', offset);
    }
    const type = this.bytes[end];
    if (type === 1) {
      throw this.file.refusal('E_TF_COMPRESSED', 'its blocks are compressed (snappy): save it again', end);
    }
    if (type !== 0) throw this.fail(`a block of the unknown type ${type}`, end);
    return end;
  }

  /** Returns the end of the block's entries, where the restart offsets begin. */
  private checkRestarts(offset: number, end: number): number {
    const count = end - offset < 4 ? 0 : this.bytes.readUInt32LE(end - 4);
    const begin = end - 4 - 4 * count;
    if (count === 0 || begin < offset)
      throw this.fail('a block with damaged restarts', Math.max(offset, end - 4));
    let previous = -1;
    for (let at = begin; at < end - 4; at += 4) {
      const restart = this.bytes.readUInt32LE(at);
      if (restart <= previous || (previous < 0 && restart !== 0))
        throw this.fail('restarts out of order', at);
      previous = restart;
    }
    return begin;
  }

  /** `previousKey` is null at a restart, where nothing may be shared. */
  private entry(offset: number, end: number, previousKey: Uint8Array | null): TableEntry {
    const shared = readVarint(this.bytes, offset, 32);
    const unshared = shared && readVarint(this.bytes, shared.next, 32);
    const length = unshared && readVarint(this.bytes, unshared.next, 32);
    if (!length || length.next + unshared.value + length.value > end) {
      throw this.fail('an entry past the end of its block', offset);
    }
    if (shared.value > (previousKey?.length ?? 0)) throw this.fail('an entry that shares too much', offset);
    const keyLength = shared.value + unshared.value;
    this.keyBytes += keyLength;
    if (keyLength > MAX_KEY_BYTES || this.keyBytes > MAX_ALL_KEY_BYTES) {
      throw this.fail(`a key of ${keyLength} bytes, or too many keys`, offset);
    }
    const valueOffset = length.next + unshared.value;
    const own = this.bytes.subarray(length.next, valueOffset);
    const key = previousKey ? Buffer.concat([previousKey.subarray(0, shared.value), own]) : own;
    if (previousKey && Buffer.compare(previousKey, key) >= 0) throw this.fail('keys out of order', offset);
    return { key, value: this.bytes.subarray(valueOffset, valueOffset + length.value), offset, valueOffset };
  }
}
