/** Writes TensorFlow bundles as TensorFlow does, and with any part wrong on request. */

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32c, maskCrc32c, maskedCrc32c } from '../../albert/convert/crc32c.js';
import { type SliceExtent, sliceKey } from '../../albert/convert/ordered-code.js';

export function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

const fixed32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

/** A number field, left out when zero, as protocol buffers of version 3 do. */
const numberField = (field: number, value: number | bigint) =>
  value === 0 ? Buffer.alloc(0) : Buffer.concat([varint(field * 8), varint(value)]);

const bytesField = (field: number, value: Uint8Array) =>
  Buffer.concat([varint(field * 8 + 2), varint(value.length), value]);

/** num_shards, little endian, producer 1. */
export const bundleHeader = (shards = 1, more: Uint8Array = Buffer.alloc(0)) =>
  Buffer.concat([numberField(1, shards), bytesField(3, Buffer.from([0x08, 0x01])), more]);

export interface EntryFields {
  dtype?: number;
  shape?: readonly (number | bigint)[];
  shard?: number;
  offset?: number | bigint;
  size?: number | bigint;
  crc?: number;
  slices?: readonly (readonly SliceExtent[])[];
}

const shapeOf = (shape: readonly (number | bigint)[]) =>
  Buffer.concat(shape.map((size) => bytesField(2, numberField(1, size))));

const sliceOf = (extents: readonly SliceExtent[]) =>
  Buffer.concat(
    extents.map(({ start, length }) =>
      bytesField(
        1,
        length === -1 ? Buffer.alloc(0) : Buffer.concat([numberField(1, start), numberField(2, length)]),
      ),
    ),
  );

export function bundleEntry({
  dtype = 1,
  shape = [],
  shard = 0,
  offset = 0,
  size = 0,
  crc,
  slices = [],
}: EntryFields): Buffer {
  return Buffer.concat([
    numberField(1, dtype),
    bytesField(2, shapeOf(shape)),
    numberField(3, shard),
    numberField(4, offset),
    numberField(5, size),
    crc === undefined ? Buffer.alloc(0) : Buffer.concat([varint(6 * 8 + 5), fixed32(crc)]),
    ...slices.map((extents) => bytesField(7, sliceOf(extents))),
  ]);
}

export interface TableRow {
  key: Uint8Array;
  value: Uint8Array;
}

const RESTART_INTERVAL = 16;

/** Contents of a block. */
export function tableBlock(rows: readonly TableRow[], restartInterval = RESTART_INTERVAL): Buffer {
  const parts: Buffer[] = [];
  const restarts: number[] = [];
  let length = 0;
  let previous: Uint8Array = new Uint8Array(0);
  rows.forEach(({ key, value }, index) => {
    let shared = 0;
    if (index % restartInterval === 0) restarts.push(length);
    else
      while (shared < Math.min(previous.length, key.length) && previous[shared] === key[shared]) shared += 1;
    const entry = Buffer.concat([
      varint(shared),
      varint(key.length - shared),
      varint(value.length),
      key.subarray(shared),
      value,
    ]);
    parts.push(entry);
    length += entry.length;
    previous = key;
  });
  if (restarts.length === 0) restarts.push(0);
  return Buffer.concat([...parts, ...restarts.map(fixed32), fixed32(restarts.length)]);
}

/** A block as it stands in the file. */
export function blockOnDisk(contents: Uint8Array, type = 0): Buffer {
  const typed = Buffer.concat([contents, Buffer.from([type])]);
  return Buffer.concat([typed, fixed32(maskedCrc32c(typed))]);
}

export const blockHandle = (offset: number | bigint, size: number | bigint) =>
  Buffer.concat([varint(offset), varint(size)]);

export function tableFooter(metaindex: Uint8Array, index: Uint8Array): Buffer {
  const handles = Buffer.concat([metaindex, index]);
  return Buffer.concat([handles, Buffer.alloc(40 - handles.length), Buffer.from('57fb808b247547db', 'hex')]);
}

/** The shortest key above one: its first byte that isn't 255, raised. */
function successor(key: Uint8Array): Uint8Array {
  const at = key.findIndex((byte) => byte !== 0xff);
  return at < 0 ? key : Uint8Array.from([...key.subarray(0, at), key[at] + 1]);
}

export interface TableOptions {
  /** Rows of a data block; default all in one. */
  rowsPerBlock?: number;
  blockType?: number;
  /** Replaces the contents of the data blocks. */
  contents?: (contents: Buffer) => Buffer;
}

/** A whole table; rows in the order given. */
export function table(
  rows: readonly TableRow[],
  { rowsPerBlock = rows.length, blockType = 0, contents = (same) => same }: TableOptions = {},
): Buffer {
  const parts: Buffer[] = [];
  const handles: TableRow[] = [];
  let length = 0;
  const add = (block: Buffer, type = 0) => {
    const disk = blockOnDisk(block, type);
    const handle = blockHandle(length, block.length);
    parts.push(disk);
    length += disk.length;
    return handle;
  };
  for (let at = 0; at < rows.length; at += rowsPerBlock) {
    const group = rows.slice(at, at + rowsPerBlock);
    const value = add(contents(tableBlock(group)), blockType);
    const last = group[group.length - 1].key;
    handles.push({ key: at + rowsPerBlock < rows.length ? last : successor(last), value });
  }
  const metaindex = add(tableBlock([]));
  const index = add(tableBlock(handles, 1));
  return Buffer.concat([...parts, tableFooter(metaindex, index)]);
}

export interface BundleTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array | Float64Array | BigInt64Array | Uint16Array;
  /** TensorFlow's number; default that of the array. */
  dtype?: number;
  shard?: number;
  /** Stores the variable in these parts. */
  slices?: readonly (readonly SliceExtent[])[];
}

const dtypeOf = ({ data, dtype }: BundleTensor) =>
  dtype ??
  (data instanceof Float32Array
    ? 1
    : data instanceof Float64Array
      ? 2
      : data instanceof BigInt64Array
        ? 9
        : 19);

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  Buffer.from(buffer, byteOffset, byteLength);

/** Elements of a slice, row-major. */
function sliceData(
  { shape, data }: BundleTensor,
  extents: readonly SliceExtent[],
): { shape: number[]; bytes: Buffer } {
  const size = extents.map(({ length }, dim) => (length === -1 ? shape[dim] : length));
  const count = size.reduce((a, b) => a * b, 1);
  const itemSize = data.BYTES_PER_ELEMENT;
  const all = bytesOf(data);
  const elements = Array.from({ length: count }, (_, number) => {
    let rest = number;
    let source = 0;
    let stride = 1;
    for (let dim = shape.length - 1; dim >= 0; dim -= 1) {
      source += ((rest % size[dim]) + extents[dim].start) * stride;
      rest = Math.floor(rest / size[dim]);
      stride *= shape[dim];
    }
    return all.subarray(source * itemSize, (source + 1) * itemSize);
  });
  return { shape: size, bytes: Buffer.concat(elements) };
}

export interface BundleOptions extends TableOptions {
  shards?: number;
}

/** Index and shards of these tensors. */
export function bundle(
  tensors: readonly BundleTensor[],
  { shards = 1, ...options }: BundleOptions = {},
): { index: Buffer; data: Buffer[] } {
  const data = Array.from({ length: shards }, () => [] as Buffer[]);
  const sizes = data.map(() => 0);
  const rows: TableRow[] = [{ key: Buffer.alloc(0), value: bundleHeader(shards) }];
  const store = (key: Uint8Array, bytes: Buffer, fields: EntryFields) => {
    const shard = fields.shard ?? 0;
    const crc = maskCrc32c(crc32c(bytes));
    rows.push({ key, value: bundleEntry({ ...fields, offset: sizes[shard], size: bytes.length, crc }) });
    data[shard].push(bytes);
    sizes[shard] += bytes.length;
  };
  const sorted = [...tensors].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  for (const tensor of sorted) {
    const { name, shape, shard, slices } = tensor;
    const dtype = dtypeOf(tensor);
    if (!slices) {
      store(Buffer.from(name), bytesOf(tensor.data), { dtype, shape, shard });
      continue;
    }
    rows.push({ key: Buffer.from(name), value: bundleEntry({ dtype, shape, slices }) });
    for (const extents of slices) {
      const part = sliceData(tensor, extents);
      store(sliceKey(name, extents), part.bytes, { dtype, shape: part.shape, shard });
    }
  }
  rows.sort((a, b) => Buffer.compare(a.key, b.key));
  return { index: table(rows, options), data: data.map((parts) => Buffer.concat(parts)) };
}

/** Writes a bundle; returns its prefix. */
export async function writeBundle(
  prefix: string,
  tensors: readonly BundleTensor[],
  options: BundleOptions = {},
): Promise<string> {
  const { index, data } = bundle(tensors, options);
  await mkdir(dirname(prefix), { recursive: true });
  await writeFile(`${prefix}.index`, index);
  for (const [shard, bytes] of data.entries()) await writeFile(shardPath(prefix, shard, data.length), bytes);
  return prefix;
}

export function shardPath(prefix: string, shard: number, shards: number): string {
  const digits = (value: number) => String(value).padStart(5, '0');
  return `${prefix}.data-${digits(shard)}-of-${digits(shards)}`;
}
