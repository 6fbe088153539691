/**
 * TensorFlow checkpoints of the second kind (tensor bundles): PREFIX.index names the variables and their places in
 * PREFIX.data-SSSSS-of-NNNNN. Paths of shards are built from the prefix; nothing in a file names another.
 */

import { CheckpointFile, unreadable } from './checkpoint-file.js';
import { crc32c, maskCrc32c } from './crc32c.js';
import { itemSizeOf } from './dtypes.js';
import { sliceKey } from './ordered-code.js';
import { ProtobufError } from './protobuf.js';
import { readTable, type TableEntry } from './sstable.js';
import {
  type Checkpoint,
  closeCheckpoint,
  densePiece,
  elementCount,
  type StoredTensor,
  type TensorPiece,
} from './stored-tensor.js';
import { type BundleEntry, parseBundleEntry, parseBundleHeader } from './tf-protos.js';

const MAX_SLICES = 1024;
/** Shards held open at once. */
const MAX_SHARDS = 1000;

/** An entry and where it stands in the index. */
interface PlacedEntry extends BundleEntry {
  dtype: string;
  name: string;
  indexOffset: number;
}

/**
 * Opens the bundle with this prefix, index and shards. Rejects with ERR_MODEL_NOT_FOUND without an index, else with
 * ERR_CHECKPOINT_UNREADABLE: what `readTable` refuses, E_TF_INDEX, E_TF_BIG_ENDIAN, E_TF_VERSION, E_TF_OBJECT_GRAPH,
 * E_TF_PARTITIONED, E_TF_SHARD, E_DTYPE, E_TENSOR_BOUNDS, E_RANGE_OVERLAP, E_TRUNCATED; E_TF_CRC when a tensor is read.
 */
export async function openTfBundle(prefix: string): Promise<Checkpoint> {
  const files = [await CheckpointFile.open(`${prefix}.index`)];
  try {
    return await openBundle(prefix, files);
  } catch (error) {
    await closeCheckpoint({ files });
    throw error;
  }
}

async function openBundle(prefix: string, files: CheckpointFile[]): Promise<Checkpoint> {
  const [index] = files;
  const [header, ...rest] = await readTable(index);
  const shardCount = readHeader(index, header);
  const entries = rest.map((entry) => readEntry(index, entry, shardCount));
  const variables = entries.filter(({ name }) => !name.startsWith(SLICE_MARK));
  refuseObjectGraph(index, variables);
  const shards = new Map<number, CheckpointFile>();
  const stored = entries.filter(({ slices }) => slices.length === 0);
  for (const { shardId, indexOffset } of stored) {
    if (shards.has(shardId)) continue;
    if (shards.size === MAX_SHARDS)
      throw index.refusal('E_TF_SHARD', `more than ${MAX_SHARDS} shards`, indexOffset);
    const shard = await openShard(prefix, shardId, shardCount);
    shards.set(shardId, shard);
    files.push(shard);
  }
  const shardOf = (entry: PlacedEntry) => shards.get(entry.shardId) as CheckpointFile;
  checkRanges(stored, shardOf);
  const bySliceKey = new Map(entries.map((entry) => [entry.name, entry]));
  const tensors = variables.map((entry): StoredTensor => {
    const { name, dtype, shape } = entry;
    const parts =
      entry.slices.length === 0
        ? [{ entry, start: shape.map(() => 0) }]
        : sliceParts(index, entry, bySliceKey);
    const pieces = parts.map(
      ({ entry: part, start }): TensorPiece => ({
        ...densePiece(shardOf(part), part.offset, part.shape),
        start,
      }),
    );
    const verify = async () => {
      for (const part of parts) await verifyChecksum(shardOf(part.entry), part.entry, name);
    };
    return { name, dtype, shape, pieces, verify };
  });
  return { format: 'tensorflow', path: prefix, files, tensors, metadata: new Map(), warnings: [] };
}

/** Returns the number of shards. */
function readHeader(index: CheckpointFile, entry: TableEntry | undefined): number {
  if (!entry || entry.key.length > 0)
    throw index.refusal('E_TF_INDEX', 'it has no header', entry?.offset ?? 0);
  const { shardCount, bigEndian, version } = inIndex(index, entry, () => parseBundleHeader(entry.value));
  if (bigEndian) {
    throw index.refusal('E_TF_BIG_ENDIAN', 'it was written on a big-endian machine', entry.valueOffset);
  }
  if (version.minConsumer > 1 || version.badConsumers.includes(1)) {
    throw index.refusal(
      'E_TF_VERSION',
      `it wants a reader of version ${version.minConsumer}`,
      entry.valueOffset,
    );
  }
  if (!(shardCount >= 1 && shardCount <= 99_999)) {
    throw index.refusal('E_TF_INDEX', `${shardCount} shards`, entry.valueOffset);
  }
  return shardCount;
}

/** Runs a parser of an entry's value; what it throws becomes a refusal at the byte in the index. */
function inIndex<T>(index: CheckpointFile, entry: TableEntry, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    throw index.refusal('E_TF_INDEX', error.message, entry.valueOffset + error.offset);
  }
}

/** Keys of slices begin with it, names of variables never do. */
const SLICE_MARK = '\0';

function readEntry(index: CheckpointFile, entry: TableEntry, shardCount: number): PlacedEntry {
  const isSlice = entry.key[0] === 0;
  const name = isSlice ? sliceName(entry.key) : variableName(index, entry);
  const parsed = inIndex(index, entry, () => parseBundleEntry(entry.value));
  const shown = isSlice ? 'a slice' : name.slice(0, 80);
  const fail = (reason: string, what: string) =>
    index.refusal(reason, `${shown} ${what}`, entry.offset, isSlice ? {} : { tensor: name });
  const { dtype, shape, size, shardId, offset, slices } = parsed;
  if (dtype === null) throw fail('E_DTYPE', 'has no valid type');
  if (!shape.every(Number.isSafeInteger) || !Number.isSafeInteger(elementCount(shape))) {
    throw fail('E_TENSOR_BOUNDS', `has the shape [${shape.join(', ')}]`);
  }
  if (slices.length > MAX_SLICES) throw fail('E_TF_PARTITIONED', `has ${slices.length} parts`);
  const placed = { ...parsed, name, dtype, indexOffset: entry.offset };
  // What stands in the entry of a partitioned variable means nothing; its parts have entries of their own.
  if (slices.length > 0) return placed;
  if (!Number.isSafeInteger(offset + size) || !(shardId < shardCount)) {
    throw fail('E_TENSOR_BOUNDS', `has ${size} bytes at ${offset} of shard ${shardId}`);
  }
  const itemSize = itemSizeOf(dtype);
  if (itemSize !== undefined && elementCount(shape) * itemSize !== size) {
    throw fail('E_TENSOR_BOUNDS', `has ${size} bytes for the shape [${shape.join(', ')}]`);
  }
  return placed;
}

function sliceName(key: Uint8Array): string {
  return SLICE_MARK + Buffer.from(key).toString('hex');
}

function variableName(index: CheckpointFile, { key, offset }: TableEntry): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(key);
  } catch {
    throw index.refusal('E_TF_INDEX', 'a name that is not UTF-8', offset);
  }
}

/** Checkpoints of tf.train.Checkpoint name objects, not variables of a graph. */
function refuseObjectGraph(index: CheckpointFile, entries: readonly PlacedEntry[]): void {
  const found = entries.find(
    ({ name }) => name === '_CHECKPOINTABLE_OBJECT_GRAPH' || name.endsWith('/.ATTRIBUTES/VARIABLE_VALUE'),
  );
  if (!found) return;
  const what = 'an object-based checkpoint of TensorFlow 2; save the weights with tf.compat.v1.train.Saver';
  throw index.refusal('E_TF_OBJECT_GRAPH', what, found.indexOffset);
}

async function openShard(prefix: string, shardId: number, shardCount: number): Promise<CheckpointFile> {
  const digits = (value: number) => String(value).padStart(5, '0');
  const path = `${prefix}.data-${digits(shardId)}-of-${digits(shardCount)}`;
  try {
    return await CheckpointFile.open(path);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODEL_NOT_FOUND') throw error;
    throw unreadable(path, 'E_TF_SHARD', `the index needs it: ${(error as Error).message}`, {
      byteOffset: 0,
    });
  }
}

/** Every stored range lies in its shard, and no two overlap. */
function checkRanges(entries: readonly PlacedEntry[], shardOf: (entry: PlacedEntry) => CheckpointFile): void {
  const sorted = entries
    .filter(({ size }) => size > 0)
    .sort((a, b) => a.shardId - b.shardId || a.offset - b.offset);
  for (const [position, entry] of sorted.entries()) {
    const shard = shardOf(entry);
    const end = entry.offset + entry.size;
    if (end > shard.size) {
      throw shard.refusal(
        'E_TRUNCATED',
        `it should have ${end} bytes or more but has ${shard.size}`,
        shard.size,
        {
          expected: end,
          actual: shard.size,
        },
      );
    }
    const next = sorted[position + 1];
    if (next && next.shardId === entry.shardId && next.offset < end) {
      throw shard.refusal('E_RANGE_OVERLAP', 'two tensors overlap', next.offset);
    }
  }
}

interface SlicePart {
  entry: PlacedEntry;
  start: number[];
}

/** The parts of a partitioned variable, proved to cover it exactly. */
function sliceParts(
  index: CheckpointFile,
  variable: PlacedEntry,
  bySliceKey: ReadonlyMap<string, PlacedEntry>,
): SlicePart[] {
  const { name, shape, dtype, indexOffset } = variable;
  const fail = (what: string) =>
    index.refusal('E_TF_PARTITIONED', `${name.slice(0, 80)} ${what}`, indexOffset, { tensor: name });
  const parts = variable.slices.map((extents): SlicePart => {
    if (extents.length !== shape.length) throw fail('has a part of another rank');
    const entry = bySliceKey.get(sliceName(sliceKey(name, extents)));
    if (!entry || entry.slices.length > 0) throw fail('lacks a part');
    const size = extents.map(({ length }, dim) => (length === -1 ? shape[dim] : length));
    const fits = extents.every(
      ({ start }, dim) => Number.isSafeInteger(start) && start + size[dim] <= shape[dim],
    );
    if (!fits || size.includes(0) || entry.dtype !== dtype || entry.shape.join() !== size.join())
      throw fail('has a part that does not fit');
    return { entry, start: extents.map(({ start }) => start) };
  });
  const covered = parts.reduce((sum, { entry }) => sum + elementCount(entry.shape), 0);
  if (covered !== elementCount(shape)) throw fail(`has parts of ${covered} elements in all`);
  for (const [position, a] of parts.entries()) {
    for (const b of parts.slice(position + 1)) {
      const overlap = shape.every(
        (_, dim) =>
          a.start[dim] < b.start[dim] + b.entry.shape[dim] &&
          b.start[dim] < a.start[dim] + a.entry.shape[dim],
      );
      if (overlap) throw fail('has parts that overlap');
    }
  }
  return parts;
}

async function verifyChecksum(
  shard: CheckpointFile,
  { offset, size, crc }: PlacedEntry,
  name: string,
): Promise<void> {
  let actual = 0;
  await shard.forEachChunk(offset, offset + size, (chunk) => {
    actual = crc32c(chunk, actual);
  });
  if (maskCrc32c(actual) === crc) return;
  throw shard.refusal('E_TF_CRC', `the checksum of ${name} differs`, offset, { tensor: name });
}
