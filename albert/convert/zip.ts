/**
 * The directory of a zip file as torch.save writes it: entries stored one after the other. Sizes and checksums are those
 * of the central directory; nothing is unpacked, and names are never used as paths.
 */

import type { CheckpointFile } from './checkpoint-file.js';

/** A stored entry; `begin` and `end` are bytes from the start of the file. */
export interface ZipRecord {
  name: string;
  begin: number;
  end: number;
  /** CRC-32 of the bytes. */
  crc: number;
}

/** An entry of the directory before its local header was looked at. */
interface DirectoryEntry {
  name: Buffer;
  flags: number;
  method: number;
  crc: number;
  compressedSize: number;
  size: number;
  localOffset: number;
  /** Of the entry itself, in the file. */
  offset: number;
}

const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_HEADER = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;

const LOCAL_BYTES = 30;
const DIRECTORY_BYTES = 46;
const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR_BYTES = 20;
const MAX_COMMENT_BYTES = 0xffff;
const MAX_DIRECTORY_BYTES = 32 << 20;
const MAX_ENTRIES = 131_072;
const MAX_NAME_BYTES = 1024;
/** A field of 32 bits whose value stands in the zip64 field instead. */
const IN_ZIP64 = 0xffffffff;
const ZIP64_FIELD = 1;
const ENCRYPTED = 1;
const STORED = 0;

/**
 * All entries by name, their data proved to lie in the file without overlap. Rejects with ERR_CHECKPOINT_UNREADABLE:
 * E_TRUNCATED, E_ZIP_DIRECTORY, E_ZIP_NAME, E_ZIP_DUPLICATE, E_ZIP_ENCRYPTED, E_ZIP_MULTIDISK, E_ZIP_METHOD,
 * E_ZIP_HEADER, E_ZIP_OVERLAP.
 */
export async function readZip(file: CheckpointFile): Promise<Map<string, ZipRecord>> {
  const directory = await findDirectory(file);
  const bytes = await file.bytes(directory.offset, directory.size);
  const entries = parseDirectory(bytes, directory, file);
  const records = new Map<string, ZipRecord>();
  const decoder = new TextDecoder();
  const ranges: { begin: number; end: number }[] = [];
  for (const entry of entries) {
    const name = decoder.decode(entry.name);
    if (records.has(name)) throw file.refusal('E_ZIP_DUPLICATE', `two entries ${show(name)}`, entry.offset);
    const begin = await dataBegin(file, entry);
    const end = begin + entry.size;
    if (end > directory.offset) {
      throw file.refusal('E_ZIP_OVERLAP', `the entry ${show(name)} reaches into the directory`, begin);
    }
    records.set(name, { name, begin, end, crc: entry.crc });
    ranges.push({ begin: entry.localOffset, end });
  }
  ranges.sort((a, b) => a.begin - b.begin);
  for (let k = 1; k < ranges.length; k += 1) {
    if (ranges[k].begin < ranges[k - 1].end) {
      throw file.refusal('E_ZIP_OVERLAP', 'two entries overlap', ranges[k].begin);
    }
  }
  return records;
}

const show = (name: string) => JSON.stringify(name.slice(0, 80));

interface DirectoryPlace {
  offset: number;
  size: number;
  count: number;
}

async function findDirectory(file: CheckpointFile): Promise<DirectoryPlace> {
  const tailBegin = Math.max(0, file.size - END_BYTES - MAX_COMMENT_BYTES);
  const tail = await file.bytes(tailBegin, file.size - tailBegin);
  const ends: number[] = [];
  for (let at = tail.length - END_BYTES; at >= 0; at -= 1) {
    const reachesEnd = at + END_BYTES + tail.readUInt16LE(at + END_BYTES - 2) === tail.length;
    if (reachesEnd && tail.readUInt32LE(at) === END) ends.push(at);
  }
  if (ends.length === 0) {
    throw file.refusal(
      'E_TRUNCATED',
      "a zip file whose directory isn't at its end; was it copied whole?",
      file.size,
      {
        actual: file.size,
      },
    );
  }
  if (ends.length > 1)
    throw file.refusal('E_ZIP_DIRECTORY', 'several ends of a zip directory', tailBegin + ends[0]);
  const [at] = ends;
  const end = tailBegin + at;
  const locator =
    at >= LOCATOR_BYTES && tail.readUInt32LE(at - LOCATOR_BYTES) === LOCATOR64
      ? tail.subarray(at - LOCATOR_BYTES, at)
      : null;
  const disks = [tail.readUInt16LE(at + 4), tail.readUInt16LE(at + 6)];
  if (disks.some((disk) => disk !== 0 && disk !== 0xffff)) {
    throw file.refusal('E_ZIP_MULTIDISK', 'a part of a zip file in several parts', end);
  }
  const place = locator
    ? await zip64Place(file, locator, end - LOCATOR_BYTES)
    : {
        offset: tail.readUInt32LE(at + 16),
        size: tail.readUInt32LE(at + 12),
        count: tail.readUInt16LE(at + 10),
        end,
      };
  if (place.offset + place.size !== place.end) {
    throw file.refusal('E_ZIP_DIRECTORY', "the directory doesn't end where its end is", end);
  }
  if (
    place.count > MAX_ENTRIES ||
    place.size > MAX_DIRECTORY_BYTES ||
    place.size < place.count * DIRECTORY_BYTES
  ) {
    throw file.refusal(
      'E_ZIP_DIRECTORY',
      `a directory of ${place.count} entries in ${place.size} bytes`,
      end,
    );
  }
  return place;
}

async function zip64Place(file: CheckpointFile, locator: Buffer, locatorBegin: number) {
  const begin = uint64(locator, 8);
  if (locator.readUInt32LE(4) !== 0 || locator.readUInt32LE(16) > 1) {
    throw file.refusal('E_ZIP_MULTIDISK', 'a part of a zip file in several parts', locatorBegin);
  }
  if (begin + END64_BYTES > locatorBegin)
    throw file.refusal('E_ZIP_DIRECTORY', 'a damaged zip64 locator', locatorBegin);
  const record = await file.bytes(begin, END64_BYTES);
  if (record.readUInt32LE(0) !== END64 || begin + 12 + uint64(record, 4) !== locatorBegin) {
    throw file.refusal('E_ZIP_DIRECTORY', 'a damaged zip64 end', begin);
  }
  if (record.readUInt32LE(16) !== 0 || record.readUInt32LE(20) !== 0) {
    throw file.refusal('E_ZIP_MULTIDISK', 'a part of a zip file in several parts', begin);
  }
  return { offset: uint64(record, 48), size: uint64(record, 40), count: uint64(record, 32), end: begin };
}

/** Infinity above 2^53-1. */
function uint64(bytes: Buffer, at: number): number {
  const value = Number(bytes.readBigUInt64LE(at));
  return Number.isSafeInteger(value) ? value : Number.POSITIVE_INFINITY;
}

function parseDirectory(
  bytes: Buffer,
  { offset, count }: DirectoryPlace,
  file: CheckpointFile,
): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  let at = 0;
  const damaged = () => file.refusal('E_ZIP_DIRECTORY', 'a damaged directory entry', offset + at);
  for (let k = 0; k < count; k += 1) {
    if (at + DIRECTORY_BYTES > bytes.length || bytes.readUInt32LE(at) !== DIRECTORY_HEADER) throw damaged();
    const [nameLength, extraLength, commentLength, disk] = [28, 30, 32, 34].map((field) =>
      bytes.readUInt16LE(at + field),
    );
    const extraBegin = at + DIRECTORY_BYTES + nameLength;
    const end = extraBegin + extraLength + commentLength;
    if (end > bytes.length) throw damaged();
    const name = bytes.subarray(at + DIRECTORY_BYTES, extraBegin);
    const extra = bytes.subarray(extraBegin, extraBegin + extraLength);
    // In the order of the zip64 field.
    const sizes = [24, 20, 42].map((field) => bytes.readUInt32LE(at + field));
    const [size, compressedSize, localOffset] = withZip64(sizes, extra);
    if (![size, compressedSize, localOffset].every(Number.isSafeInteger)) throw damaged();
    if (disk !== 0 && disk !== 0xffff)
      throw file.refusal('E_ZIP_MULTIDISK', 'an entry in another part', offset + at);
    const entry = {
      name,
      flags: bytes.readUInt16LE(at + 8),
      method: bytes.readUInt16LE(at + 10),
      crc: bytes.readUInt32LE(at + 16),
      size,
      compressedSize,
      localOffset,
      offset: offset + at,
    };
    checkEntry(entry, file);
    entries.push(entry);
    at = end;
  }
  if (at !== bytes.length) throw damaged();
  return entries;
}

/** Values of 64 bits in place of those that are marked. */
function withZip64(values: readonly number[], extra: Buffer): number[] {
  let field: Buffer = Buffer.alloc(0);
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === ZIP64_FIELD) field = extra.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  let at = 0;
  return values.map((value) => {
    if (value !== IN_ZIP64) return value;
    at += 8;
    return at <= field.length ? uint64(field, at - 8) : Number.NaN;
  });
}

function checkEntry(
  { name, flags, method, size, compressedSize, offset }: DirectoryEntry,
  file: CheckpointFile,
): void {
  const text = name.toString('latin1');
  const unsafe =
    name.length === 0 ||
    name.length > MAX_NAME_BYTES ||
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters in names are what is refused.
    /^[/\\]|^[A-Za-z]:|[\\\u0000-\u001f\u007f]/.test(text) ||
    text.split('/').some((part) => part === '..' || part === '.');
  if (unsafe) throw file.refusal('E_ZIP_NAME', `an entry named ${show(text)}`, offset);
  if (flags & ENCRYPTED)
    throw file.refusal('E_ZIP_ENCRYPTED', `the entry ${show(text)} is encrypted`, offset);
  if (method !== STORED || size !== compressedSize) {
    throw file.refusal(
      'E_ZIP_METHOD',
      `the entry ${show(text)} is compressed, which torch.save never does`,
      offset,
    );
  }
}

/** Where the data of an entry begins, by its local header, which must be that of the same entry. */
async function dataBegin(
  file: CheckpointFile,
  { name, localOffset, method, offset }: DirectoryEntry,
): Promise<number> {
  const fail = (what: string) => file.refusal('E_ZIP_HEADER', what, localOffset, { directoryOffset: offset });
  if (localOffset + LOCAL_BYTES + name.length > file.size) throw fail('a local header past the end');
  const header = await file.bytes(localOffset, LOCAL_BYTES + name.length);
  const [flags, localMethod] = [header.readUInt16LE(6), header.readUInt16LE(8)];
  const sameName = header.readUInt16LE(26) === name.length && header.subarray(LOCAL_BYTES).equals(name);
  if (header.readUInt32LE(0) !== LOCAL_HEADER || !sameName) throw fail('a local header of another entry');
  if (localMethod !== method || flags & ENCRYPTED)
    throw fail('a local header that disagrees with the directory');
  return localOffset + LOCAL_BYTES + name.length + header.readUInt16LE(28);
}
