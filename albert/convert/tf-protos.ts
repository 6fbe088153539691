/** The messages of a bundle's index: header, entries, shapes and slices. */

import type { SliceExtent } from './ordered-code.js';
import { ProtobufError, protobufFields } from './protobuf.js';

const MAX_RANK = 8;

/** Types by TensorFlow's numbers; those without an element size can't be loaded. */
const DTYPES: ReadonlyMap<number, string> = new Map([
  [1, 'F32'],
  [2, 'F64'],
  [3, 'I32'],
  [4, 'U8'],
  [5, 'I16'],
  [6, 'I8'],
  [7, 'string'],
  [8, 'complex64'],
  [9, 'I64'],
  [10, 'BOOL'],
  [11, 'qint8'],
  [12, 'quint8'],
  [13, 'qint32'],
  [14, 'BF16'],
  [15, 'qint16'],
  [16, 'quint16'],
  [17, 'U16'],
  [18, 'complex128'],
  [19, 'F16'],
  [20, 'resource'],
  [21, 'variant'],
  [22, 'U32'],
  [23, 'U64'],
]);

export interface BundleHeader {
  shardCount: number;
  bigEndian: boolean;
  version: { minConsumer: number; badConsumers: number[] };
}

export interface BundleEntry {
  /** null for a number that is no type. */
  dtype: string | null;
  shape: number[];
  shardId: number;
  /** Bytes in the shard; may be beyond all files. */
  offset: number;
  size: number;
  /** Masked CRC-32C of the bytes. */
  crc: number;
  /** Of a partitioned variable, one list of extents for each part. */
  slices: SliceExtent[][];
}

/** Throws ProtobufError. */
export function parseBundleHeader(message: Uint8Array): BundleHeader {
  const header: BundleHeader = {
    shardCount: 0,
    bigEndian: false,
    version: { minConsumer: 0, badConsumers: [] },
  };
  for (const field of protobufFields(message)) {
    if (field.number === 1 && field.wire === 'varint') header.shardCount = field.value;
    if (field.number === 2 && field.wire === 'varint') header.bigEndian = field.value !== 0;
    if (field.number === 3 && field.wire === 'bytes') readVersion(field.value, header.version);
  }
  return header;
}

function readVersion(message: Uint8Array, version: BundleHeader['version']): void {
  for (const field of protobufFields(message)) {
    if (field.number === 2 && field.wire === 'varint') version.minConsumer = field.value;
    if (field.number === 3 && field.wire === 'varint') version.badConsumers.push(field.value);
    // Packed, as newer writers store repeated numbers; each is below 128.
    if (field.number === 3 && field.wire === 'bytes')
      version.badConsumers.push(...field.value.subarray(0, 64));
  }
}

/** Throws ProtobufError. */
export function parseBundleEntry(message: Uint8Array): BundleEntry {
  const entry: BundleEntry = { dtype: null, shape: [], shardId: 0, offset: 0, size: 0, crc: 0, slices: [] };
  for (const field of protobufFields(message)) {
    if (field.wire === 'varint') {
      if (field.number === 1) entry.dtype = DTYPES.get(field.value) ?? null;
      if (field.number === 3) entry.shardId = field.value;
      if (field.number === 4) entry.offset = field.value;
      if (field.number === 5) entry.size = field.value;
    } else if (field.wire === 'fixed32') {
      if (field.number === 6) entry.crc = field.value;
    } else if (field.wire === 'bytes') {
      if (field.number === 2) entry.shape = nested(field.valueOffset, () => readShape(field.value));
      if (field.number === 7) entry.slices.push(nested(field.valueOffset, () => readSlice(field.value)));
    }
  }
  return entry;
}

/** Errors of a nested message at their place in the outer one. */
function nested<T>(offset: number, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ProtobufError) throw new ProtobufError(error.message, offset + error.offset);
    throw error;
  }
}

function readShape(message: Uint8Array): number[] {
  const shape: number[] = [];
  for (const field of protobufFields(message)) {
    if (field.number === 3 && field.wire === 'varint' && field.value !== 0) {
      throw new ProtobufError('a shape of unknown rank', field.offset);
    }
    if (field.number !== 2 || field.wire !== 'bytes') continue;
    if (shape.length === MAX_RANK) throw new ProtobufError(`a rank above ${MAX_RANK}`, field.offset);
    let size = 0;
    for (const inner of protobufFields(field.value)) {
      if (inner.number === 1 && inner.wire === 'varint') size = inner.value;
    }
    shape.push(size);
  }
  return shape;
}

function readSlice(message: Uint8Array): SliceExtent[] {
  const extents: SliceExtent[] = [];
  for (const field of protobufFields(message)) {
    if (field.number !== 1 || field.wire !== 'bytes') continue;
    if (extents.length === MAX_RANK) throw new ProtobufError(`a rank above ${MAX_RANK}`, field.offset);
    const extent = { start: 0, length: -1 };
    for (const inner of protobufFields(field.value)) {
      if (inner.number === 1 && inner.wire === 'varint') extent.start = inner.value;
      if (inner.number === 2 && inner.wire === 'varint') extent.length = inner.value;
    }
    if (!Number.isSafeInteger(extent.start) || !Number.isSafeInteger(extent.length)) {
      throw new ProtobufError('a slice out of bounds', field.offset);
    }
    extents.push(extent);
  }
  return extents;
}
