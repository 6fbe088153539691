/**
 * safetensors files: a strict reader of the header and a streaming writer. The reader trusts nothing: whatever it
 * returns, every tensor lies inside the file, none overlaps another, and each has exactly its shape's bytes.
 */

import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { AlbertNerError } from '../../lib/errors.js';
import { replaceFile } from '../../lib/files.js';
import { toFloat16 } from './float16.js';
import { quantizeRows, SCALE_SUFFIX } from './int8.js';
import { parseStrictJson, type StrictJson, StrictJsonError } from './strict-json.js';

/** One tensor; `begin` and `end` are bytes from the start of the file. */
export interface TensorInfo {
  name: string;
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

export interface SafetensorsHeader {
  metadata: Map<string, string>;
  /** In file order. */
  tensors: TensorInfo[];
  fileSize: number;
}

/** Bytes per element. Other dtypes are refused. */
const ITEM_SIZE: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
};

const LENGTH_BYTES = 8;
const MAX_HEADER_BYTES = 16 << 20;
const MAX_TENSORS = 65_536;
const MAX_RANK = 8;
/** Object of tensors, tensor, its lists. */
const MAX_DEPTH = 4;
const ALIGNMENT = 8;

class Refusal {
  readonly file: string;
  constructor(file: string) {
    this.file = file;
  }

  because(
    reason: string,
    what: string,
    byteOffset: number,
    details: Record<string, unknown> = {},
  ): AlbertNerError {
    return new AlbertNerError(
      'ERR_CHECKPOINT_UNREADABLE',
      `Can't read ${this.file}: ${what} (byte ${byteOffset})`,
      {
        details: { file: this.file, byteOffset, reason, ...details },
      },
    );
  }
}

/**
 * Rejects with ERR_MODEL_NOT_FOUND when the file can't be opened, else with ERR_CHECKPOINT_UNREADABLE, byte offset and
 * reason: E_TRUNCATED, E_HEADER, E_DTYPE, E_TENSOR_BOUNDS, E_RANGE_OVERLAP.
 */
export async function readSafetensorsHeader(file: string): Promise<SafetensorsHeader> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (cause) {
    throw new AlbertNerError('ERR_MODEL_NOT_FOUND', `Can't open ${file}: ${(cause as Error).message}`, {
      details: { file },
      cause,
    });
  }
  try {
    return await readHeader(handle, new Refusal(file));
  } finally {
    await handle.close();
  }
}

async function readHeader(handle: FileHandle, refusal: Refusal): Promise<SafetensorsHeader> {
  const stats = await handle.stat();
  if (!stats.isFile()) throw refusal.because('E_IO', 'it is not a regular file', 0);
  const fileSize = stats.size;
  if (fileSize < LENGTH_BYTES) throw refusal.because('E_TRUNCATED', `it has ${fileSize} bytes`, fileSize);
  const prefix = Buffer.alloc(LENGTH_BYTES);
  await readFully(handle, prefix, 0, refusal);
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > BigInt(MAX_HEADER_BYTES)) {
    throw refusal.because('E_HEADER', `a header of ${headerBytes} bytes; is it a safetensors file?`, 0);
  }
  const dataStart = LENGTH_BYTES + Number(headerBytes);
  if (dataStart > fileSize) {
    throw refusal.because('E_TRUNCATED', `the header ends at byte ${dataStart} of ${fileSize}`, fileSize);
  }
  const bytes = Buffer.alloc(Number(headerBytes));
  await readFully(handle, bytes, LENGTH_BYTES, refusal);
  const entries = parseHeader(bytes, refusal);
  const metadata = readMetadata(entries.get('__metadata__'), refusal);
  entries.delete('__metadata__');
  if (entries.size > MAX_TENSORS) throw refusal.because('E_HEADER', `${entries.size} tensors`, LENGTH_BYTES);
  const tensors = [...entries].map(([name, entry]) => readEntry(name, entry, dataStart, refusal));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkLayout(tensors, dataStart, fileSize, refusal);
  return { metadata, tensors, fileSize };
}

async function readFully(
  handle: FileHandle,
  buffer: Buffer,
  position: number,
  refusal: Refusal,
): Promise<void> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, position + done);
    if (bytesRead === 0) throw refusal.because('E_TRUNCATED', 'it ends while it is read', position + done);
    done += bytesRead;
  }
}

function parseHeader(bytes: Buffer, refusal: Refusal): Map<string, StrictJson> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refusal.because('E_HEADER', 'the header is not UTF-8', LENGTH_BYTES);
  }
  let value: StrictJson;
  try {
    value = parseStrictJson(text, MAX_DEPTH);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    const byteOffset = LENGTH_BYTES + Buffer.byteLength(text.slice(0, error.offset));
    throw refusal.because('E_HEADER', error.message, byteOffset);
  }
  if (!(value instanceof Map)) throw refusal.because('E_HEADER', 'the header is not an object', LENGTH_BYTES);
  return value;
}

function readMetadata(value: StrictJson | undefined, refusal: Refusal): Map<string, string> {
  const metadata = new Map<string, string>();
  if (value === undefined) return metadata;
  if (!(value instanceof Map))
    throw refusal.because('E_HEADER', '__metadata__ is not an object', LENGTH_BYTES);
  for (const [key, text] of value) {
    if (typeof text !== 'string')
      throw refusal.because('E_HEADER', `metadata ${key} is not a string`, LENGTH_BYTES);
    metadata.set(key, text);
  }
  return metadata;
}

function readEntry(name: string, entry: StrictJson, dataStart: number, refusal: Refusal): TensorInfo {
  const fail = (reason: string, what: string, byteOffset = LENGTH_BYTES) =>
    refusal.because(reason, `tensor ${JSON.stringify(name.slice(0, 80))} ${what}`, byteOffset, {
      tensor: name,
    });
  if (!(entry instanceof Map)) throw fail('E_HEADER', 'is not an object');
  const dtype = entry.get('dtype');
  const shape = entry.get('shape');
  const offsets = entry.get('data_offsets');
  const isSize = (size: StrictJson): size is number => typeof size === 'number' && size >= 0;
  if (typeof dtype !== 'string') throw fail('E_HEADER', 'has no dtype');
  if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isSize))
    throw fail('E_HEADER', 'has no shape');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw fail('E_HEADER', 'has no data_offsets');
  }
  const itemSize = Object.hasOwn(ITEM_SIZE, dtype) ? ITEM_SIZE[dtype] : undefined;
  if (itemSize === undefined)
    throw fail('E_DTYPE', `has the dtype ${dtype.slice(0, 20)}, which isn't supported`);
  const [begin, end] = offsets;
  const bytes = shape.reduce((product, size) => product * BigInt(size), BigInt(itemSize));
  if (end < begin || bytes !== BigInt(end - begin)) {
    throw fail(
      'E_TENSOR_BOUNDS',
      `has ${end - begin} bytes for the shape [${shape.join(', ')}]`,
      dataStart + begin,
    );
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/** The tensors, in order, must fill the file from the header to its end without hole or overlap. */
function checkLayout(
  tensors: readonly TensorInfo[],
  dataStart: number,
  fileSize: number,
  refusal: Refusal,
): void {
  let expected = dataStart;
  for (const { name, begin, end } of tensors) {
    if (begin !== expected) {
      const what = begin < expected ? 'overlaps the tensor before it' : `leaves a hole before byte ${begin}`;
      throw refusal.because('E_RANGE_OVERLAP', `tensor ${JSON.stringify(name.slice(0, 80))} ${what}`, begin);
    }
    expected = end;
  }
  if (fileSize < expected) {
    throw refusal.because('E_TRUNCATED', `it should have ${expected} bytes but has ${fileSize}`, fileSize);
  }
  if (fileSize > expected) {
    throw refusal.because('E_RANGE_OVERLAP', `${fileSize - expected} bytes after the last tensor`, expected);
  }
}

/** A tensor to write, row-major. */
export interface WritableTensor {
  name: string;
  shape: readonly number[];
  /** Integers are stored as they are. */
  data: Float32Array | Int32Array;
}

export interface WrittenFile {
  sha256: string;
  bytes: number;
}

/**
 * How values are stored. I8: matrices as int8 with float32 scales beside them, one per row, under the name of the matrix
 * and ".scale"; everything else as F32.
 */
export type StoredDtype = 'F32' | 'F16' | 'I8';

export interface WriteOptions {
  metadata?: Readonly<Record<string, string>>;
  /** Default F32. */
  dtype?: StoredDtype;
}

/**
 * Writes tensors, sorted by name, beside the file's place and renames them there. Equal input gives equal bytes. Throws ERR_INVALID_ARGUMENT for a name given twice or data that doesn't fit its shape.
 */
export async function writeSafetensors(
  file: string,
  tensors: readonly WritableTensor[],
  { metadata = {}, dtype = 'F32' }: WriteOptions = {},
): Promise<WrittenFile> {
  const stored = tensors
    .flatMap((tensor) => toStored(tensor, dtype))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const header = encodeHeader(stored, metadata);
  return replaceFile(file, async (handle) => {
    const hash = createHash('sha256');
    let bytes = 0;
    const write = async (part: Uint8Array) => {
      hash.update(part);
      await handle.writeFile(part);
      bytes += part.length;
    };
    await write(header);
    for (const { data } of stored) {
      await write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    return { sha256: hash.digest('hex'), bytes };
  });
}

/** A tensor as it goes into the file. */
interface StoredTensor {
  name: string;
  dtype: string;
  shape: readonly number[];
  data: Float32Array | Int32Array | Uint16Array | Int8Array;
}

/** Below this width scales cost more than they save. */
const MIN_SCALED_WIDTH = 16;

function toStored({ name, shape, data }: WritableTensor, dtype: StoredDtype): StoredTensor[] {
  if (data instanceof Int32Array) return [{ name, dtype: 'I32', shape, data }];
  if (dtype === 'F16') return [{ name, dtype, shape, data: toFloat16(data) }];
  if (dtype === 'F32' || shape.length !== 2 || shape[1] < MIN_SCALED_WIDTH)
    return [{ name, dtype: 'F32', shape, data }];
  const [rows] = shape;
  const { values, scales } = quantizeRows(data, rows);
  return [
    { name, dtype, shape, data: values },
    { name: name + SCALE_SUFFIX, dtype: 'F32', shape: [rows], data: scales },
  ];
}

function encodeHeader(
  tensors: readonly StoredTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt', ...metadata } };
  let begin = 0;
  for (const { name, dtype, shape, data } of tensors) {
    const elements = shape.reduce((product, size) => product * size, 1);
    if (elements !== data.length || Object.hasOwn(entries, name)) {
      throw new AlbertNerError(
        'ERR_INVALID_ARGUMENT',
        `Tensor ${name} is given twice or doesn't fit its shape`,
        {
          details: { tensor: name },
        },
      );
    }
    const end = begin + data.byteLength;
    entries[name] = { dtype, shape, data_offsets: [begin, end] };
    begin = end;
  }
  const json = Buffer.from(JSON.stringify(entries));
  const padded = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(LENGTH_BYTES + padded, ' ');
  header.writeBigUInt64LE(BigInt(padded));
  json.copy(header, LENGTH_BYTES);
  return header;
}

/** Values of one float32 tensor. */
export async function readTensor(
  file: string,
  { name, dtype, begin, end }: TensorInfo,
): Promise<Float32Array> {
  return new Float32Array(await readElements(file, { name, dtype, begin, end }, 'F32'));
}

/** Values of one int32 tensor. */
export async function readInt32Tensor(file: string, tensor: TensorInfo): Promise<Int32Array> {
  return new Int32Array(await readElements(file, tensor, 'I32'));
}

async function readElements(
  file: string,
  { name, dtype, begin, end }: Omit<TensorInfo, 'shape'>,
  expected: string,
): Promise<ArrayBuffer> {
  if (dtype !== expected) {
    throw new AlbertNerError(
      'ERR_CHECKPOINT_MISMATCH',
      `Expected ${expected} for ${name} but received ${dtype}`,
      { details: { file, tensor: name } },
    );
  }
  const handle = await open(file, 'r');
  try {
    const bytes = new ArrayBuffer(end - begin);
    await readFully(handle, Buffer.from(bytes), begin, new Refusal(file));
    return bytes;
  } finally {
    await handle.close();
  }
}
