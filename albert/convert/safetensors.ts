/**
 * safetensors files: a strict reader of the header and a streaming writer. The reader trusts nothing: whatever it
 * returns, every tensor lies inside the file, none overlaps another, and each has exactly its shape's bytes.
 */

import { createHash } from 'node:crypto';
import { AlbertNerError } from '../../lib/errors.js';
import { replaceFile } from '../../lib/files.js';
import { CheckpointFile } from './checkpoint-file.js';
import { itemSizeOf } from './dtypes.js';
import { toFloat16 } from './float16.js';
import { quantizeRows, SCALE_SUFFIX } from './int8.js';
import { type Checkpoint, densePiece, elementCount, type StoredTensor } from './stored-tensor.js';
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

const LENGTH_BYTES = 8;
const MAX_HEADER_BYTES = 16 << 20;
const MAX_TENSORS = 65_536;
const MAX_RANK = 8;
/** Object of tensors, tensor, its lists. */
const MAX_DEPTH = 4;
const ALIGNMENT = 8;
/** Read and hashed at once: a millisecond of the event loop. */
const LOAD_CHUNK_BYTES = 1 << 20;

/**
 * Rejects with ERR_MODEL_NOT_FOUND when the file can't be opened, else with ERR_CHECKPOINT_UNREADABLE, byte offset and
 * reason: E_TRUNCATED, E_HEADER, E_DTYPE, E_TENSOR_BOUNDS, E_RANGE_OVERLAP.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  const file = await CheckpointFile.open(path);
  try {
    return await readHeader(file);
  } finally {
    await file.close();
  }
}

/** A whole file in memory: header, hash and values are of the very same bytes, whatever happens to the file meanwhile. */
export interface LoadedSafetensors extends SafetensorsHeader {
  path: string;
  /** On shared memory, as the addon takes it. */
  bytes: Uint8Array<SharedArrayBuffer>;
  /** Hex digest. */
  sha256: string;
}

/**
 * Opens a file once and reads it once. Rejects as `readSafetensorsHeader` does, before it reads more than the header of a file that
 * is none, and with E_TRUNCATED when the file shrinks meanwhile, E_IO when it grows.
 */
export async function loadSafetensors(path: string): Promise<LoadedSafetensors> {
  const file = await CheckpointFile.open(path);
  try {
    await readHeader(file);
    const bytes = new Uint8Array(new SharedArrayBuffer(file.size));
    const hash = createHash('sha256');
    for (let position = 0; position < file.size; position += LOAD_CHUNK_BYTES) {
      const chunk = bytes.subarray(position, position + LOAD_CHUNK_BYTES);
      await file.read(chunk, position);
      hash.update(chunk);
    }
    await file.checkUnchanged();
    const header = await readHeader(new LoadedFile(file, bytes));
    return { ...header, path, bytes, sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}

/** What `readHeader` needs of a file, from its bytes in memory. */
class LoadedFile implements HeaderSource {
  readonly size: number;
  private readonly file: CheckpointFile;
  private readonly content: Uint8Array;

  constructor(file: CheckpointFile, content: Uint8Array) {
    this.file = file;
    this.content = content;
    this.size = content.length;
  }

  async bytes(position: number, length: number): Promise<Buffer> {
    return Buffer.from(this.content.slice(position, position + length));
  }

  refusal(...args: Parameters<CheckpointFile['refusal']>): AlbertNerError {
    return this.file.refusal(...args);
  }
}

/** The values of an int32 tensor of a loaded file. */
export function int32Values({ path, bytes }: LoadedSafetensors, tensor: TensorInfo): Int32Array {
  checkDtype(path, tensor, 'I32');
  // A copy: the tensor need not begin at a multiple of four.
  return new Int32Array(Uint8Array.from(bytes.subarray(tensor.begin, tensor.end)).buffer);
}

/** The tensors of a file as every checkpoint has them. Rejects as `readSafetensorsHeader` does. */
export async function openSafetensors(path: string): Promise<Checkpoint> {
  const file = await CheckpointFile.open(path);
  try {
    const { metadata, tensors } = await readHeader(file);
    const stored = tensors.map(
      ({ name, dtype, shape, begin }): StoredTensor => ({
        name,
        dtype,
        shape,
        pieces: [densePiece(file, begin, shape)],
      }),
    );
    return { format: 'safetensors', path, files: [file], tensors: stored, metadata, warnings: [] };
  } catch (error) {
    await file.close();
    throw error;
  }
}

type HeaderSource = Pick<CheckpointFile, 'size' | 'bytes' | 'refusal'>;

async function readHeader(file: HeaderSource): Promise<SafetensorsHeader> {
  const { size: fileSize } = file;
  if (fileSize < LENGTH_BYTES) throw file.refusal('E_TRUNCATED', `it has ${fileSize} bytes`, fileSize);
  const headerBytes = (await file.bytes(0, LENGTH_BYTES)).readBigUInt64LE();
  if (headerBytes > BigInt(MAX_HEADER_BYTES)) {
    throw file.refusal('E_HEADER', `a header of ${headerBytes} bytes; is it a safetensors file?`, 0);
  }
  const dataStart = LENGTH_BYTES + Number(headerBytes);
  if (dataStart > fileSize) {
    throw file.refusal('E_TRUNCATED', `the header ends at byte ${dataStart} of ${fileSize}`, fileSize);
  }
  const entries = parseHeader(await file.bytes(LENGTH_BYTES, Number(headerBytes)), file);
  const metadata = readMetadata(entries.get('__metadata__'), file);
  entries.delete('__metadata__');
  if (entries.size > MAX_TENSORS) throw file.refusal('E_HEADER', `${entries.size} tensors`, LENGTH_BYTES);
  const tensors = [...entries].map(([name, entry]) => readEntry(name, entry, dataStart, file));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkLayout(tensors, dataStart, file);
  return { metadata, tensors, fileSize };
}

function parseHeader(bytes: Buffer, file: HeaderSource): Map<string, StrictJson> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw file.refusal('E_HEADER', 'the header is not UTF-8', LENGTH_BYTES);
  }
  let value: StrictJson;
  try {
    value = parseStrictJson(text, MAX_DEPTH);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    const byteOffset = LENGTH_BYTES + Buffer.byteLength(text.slice(0, error.offset));
    throw file.refusal('E_HEADER', error.message, byteOffset);
  }
  if (!(value instanceof Map)) throw file.refusal('E_HEADER', 'the header is not an object', LENGTH_BYTES);
  return value;
}

function readMetadata(value: StrictJson | undefined, file: HeaderSource): Map<string, string> {
  const metadata = new Map<string, string>();
  if (value === undefined) return metadata;
  if (!(value instanceof Map)) throw file.refusal('E_HEADER', '__metadata__ is not an object', LENGTH_BYTES);
  for (const [key, text] of value) {
    if (typeof text !== 'string')
      throw file.refusal('E_HEADER', `metadata ${key} is not a string`, LENGTH_BYTES);
    metadata.set(key, text);
  }
  return metadata;
}

function readEntry(name: string, entry: StrictJson, dataStart: number, file: HeaderSource): TensorInfo {
  const fail = (reason: string, what: string, byteOffset = LENGTH_BYTES) =>
    file.refusal(reason, `tensor ${JSON.stringify(name.slice(0, 80))} ${what}`, byteOffset, {
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
  const itemSize = itemSizeOf(dtype);
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
function checkLayout(tensors: readonly TensorInfo[], dataStart: number, file: HeaderSource): void {
  const fileSize = file.size;
  let expected = dataStart;
  for (const { name, begin, end } of tensors) {
    if (begin !== expected) {
      const what = begin < expected ? 'overlaps the tensor before it' : `leaves a hole before byte ${begin}`;
      throw file.refusal('E_RANGE_OVERLAP', `tensor ${JSON.stringify(name.slice(0, 80))} ${what}`, begin);
    }
    expected = end;
  }
  if (fileSize < expected) {
    throw file.refusal('E_TRUNCATED', `it should have ${expected} bytes but has ${fileSize}`, fileSize);
  }
  if (fileSize > expected) {
    throw file.refusal('E_RANGE_OVERLAP', `${fileSize - expected} bytes after the last tensor`, expected);
  }
}

/** Values in parts; a part is valid until the next one is asked for. */
export type TensorBlocks = () => AsyncIterable<Float32Array>;

/** A tensor to write, row-major. */
export interface WritableTensor {
  name: string;
  shape: readonly number[];
  /** Integers are stored as they are. */
  data: Float32Array | Int32Array | TensorBlocks;
}

export interface WrittenFile {
  sha256: string;
  bytes: number;
}

/**
 * How values are stored. I8: matrices as int8 with float32 scales beside them, one per row, under the name of the matrix
 * and ".scale"; everything else, and what comes in blocks, as F32.
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
  const encoded = tensors
    .flatMap((tensor) => encodeTensor(tensor, dtype))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const header = encodeHeader(encoded, metadata);
  return replaceFile(file, async (handle) => {
    const hash = createHash('sha256');
    let bytes = 0;
    const write = async (part: Uint8Array) => {
      hash.update(part);
      await handle.writeFile(part);
      bytes += part.length;
    };
    await write(header);
    for (const { name, shape, dtype: as, data } of encoded) {
      let elements = 0;
      for await (const block of typeof data === 'function' ? data() : [data]) {
        const stored = as === 'F16' && block instanceof Float32Array ? toFloat16(block) : block;
        await write(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
        elements += block.length;
      }
      if (elements !== elementCount(shape)) throw wrongTensor(name);
    }
    return { sha256: hash.digest('hex'), bytes };
  });
}

/** A tensor as it goes into the file. */
interface EncodedTensor {
  name: string;
  dtype: 'F32' | 'F16' | 'I32' | 'I8';
  shape: readonly number[];
  data: Float32Array | Int32Array | Int8Array | TensorBlocks;
}

/** Below this width scales cost more than they save. */
const MIN_SCALED_WIDTH = 16;

function encodeTensor({ name, shape, data }: WritableTensor, dtype: StoredDtype): EncodedTensor[] {
  if (data instanceof Int32Array) return [{ name, dtype: 'I32', shape, data }];
  if (dtype === 'F16') return [{ name, dtype, shape, data }];
  const scaled = dtype === 'I8' && shape.length === 2 && shape[1] >= MIN_SCALED_WIDTH;
  if (!scaled || typeof data === 'function') return [{ name, dtype: 'F32', shape, data }];
  const [rows] = shape;
  const { values, scales } = quantizeRows(data, rows);
  return [
    { name, dtype, shape, data: values },
    { name: name + SCALE_SUFFIX, dtype: 'F32', shape: [rows], data: scales },
  ];
}

function encodeHeader(
  tensors: readonly EncodedTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt', ...metadata } };
  let begin = 0;
  for (const { name, dtype, shape, data } of tensors) {
    const elements = elementCount(shape);
    const given = typeof data === 'function' ? elements : data.length;
    if (elements !== given || Object.hasOwn(entries, name)) throw wrongTensor(name);
    const end = begin + elements * (itemSizeOf(dtype) as number);
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

function wrongTensor(name: string): AlbertNerError {
  return new AlbertNerError(
    'ERR_INVALID_ARGUMENT',
    `Tensor ${name} is given twice or doesn't fit its shape`,
    { details: { tensor: name } },
  );
}

/** Values of one float32 tensor. */
export async function readTensor(path: string, tensor: TensorInfo): Promise<Float32Array> {
  checkDtype(path, tensor, 'F32');
  const file = await CheckpointFile.open(path);
  try {
    const values = new Float32Array((tensor.end - tensor.begin) / Float32Array.BYTES_PER_ELEMENT);
    await file.read(new Uint8Array(values.buffer), tensor.begin);
    return values;
  } finally {
    await file.close();
  }
}

function checkDtype(file: string, { name, dtype }: TensorInfo, expected: string): void {
  if (dtype === expected) return;
  throw new AlbertNerError(
    'ERR_CHECKPOINT_MISMATCH',
    `Expected ${expected} for ${name} but received ${dtype}`,
    { details: { file, tensor: name } },
  );
}
