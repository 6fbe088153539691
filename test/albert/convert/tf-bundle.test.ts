import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { crc32c, maskCrc32c, maskedCrc32c } from '../../../albert/convert/crc32c.js';
import { orderedNumber, orderedSigned, sliceKey } from '../../../albert/convert/ordered-code.js';
import { transposed } from '../../../albert/convert/stored-tensor.js';
import { TensorReader } from '../../../albert/convert/tensor-stream.js';
import { openTfBundle } from '../../../albert/convert/tf-bundle.js';
import { assertRefused, ramp, readAll } from '../../support/checkpoints.js';
import { fixture, temporaryFolder } from '../../support/paths.js';
import {
  blockHandle,
  blockOnDisk,
  bundle,
  bundleEntry,
  bundleHeader,
  type EntryFields,
  shardPath,
  type TableRow,
  table,
  tableBlock,
  tableFooter,
  varint,
  writeBundle,
} from '../../support/tf-bundle-writer.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('checksums have their published values, in one part or several', (t) => {
  const digits = Buffer.from('123456789');
  t.is(crc32c(digits), 0xe3069283);
  t.is(maskedCrc32c(digits), 0xc78ab0e5);
  t.is(maskedCrc32c(Buffer.alloc(0)), 0xa282ead8);
  t.is(crc32c(digits.subarray(3), crc32c(digits.subarray(0, 3))), 0xe3069283);
  const long = Buffer.from(Array.from({ length: 1000 }, (_, k) => (k * 7) & 0xff));
  let bitwise = 0xffffffff;
  for (const byte of long) {
    bitwise ^= byte;
    for (let bit = 0; bit < 8; bit += 1) bitwise = bitwise & 1 ? (bitwise >>> 1) ^ 0x82f63b78 : bitwise >>> 1;
  }
  t.is(crc32c(long), ~bitwise >>> 0);
});

test('ordered codes have their published values', (t) => {
  t.is(hex(orderedNumber(0)), '00');
  t.is(hex(orderedNumber(0x1234)), '021234');
  const signed: [number | bigint, string][] = [
    [0x424242, 'f0424242'],
    [-0x800, '3800'],
    [-1, '7f'],
    [63, 'bf'],
    [64, 'c040'],
    [-64, '40'],
    [0, '80'],
    [2n ** 63n - 1n, 'ffc07fffffffffffffff'],
    [-(2n ** 63n), '003f8000000000000000'],
  ];
  for (const [value, code] of signed) t.is(hex(orderedSigned(value)), code, String(value));
  const key = sliceKey('emb', [
    { start: 0, length: 10564 },
    { start: 0, length: -1 },
  ]);
  t.is(hex(key), '00656d620001010280e02944807f');
  t.is(hex(sliceKey('\0', [])), '0000ff000100');
});

test('the index of the published albert_tiny comes out byte for byte, and reads', async (t) => {
  const variables: [string, number[], string][] = JSON.parse(
    await readFile(fixture('checkpoints', 'albert-tiny-variables.json'), 'utf8'),
  );
  let offset = 0;
  const rows: TableRow[] = [{ key: Buffer.alloc(0), value: bundleHeader() }];
  for (const [name, shape, crc] of variables) {
    const size = 4 * shape.reduce((a, b) => a * b, 1);
    rows.push({ key: Buffer.from(name), value: bundleEntry({ shape, offset, size, crc: Number(crc) }) });
    offset += size;
  }
  const index = table(rows);
  t.is(index.length, 1410);
  t.is(
    createHash('sha256').update(index).digest('hex'),
    '0f36793906323ee5c9c0901a89056920041876a94f4755fdc683335cce917666',
  );
  t.is(offset, 17_180_744);
  const prefix = join(await temporaryFolder(t), 'albert_model.ckpt');
  await writeFile(`${prefix}.index`, index);
  await writeFile(shardPath(prefix, 0, 1), '');
  await truncate(shardPath(prefix, 0, 1), offset);
  const checkpoint = await openTfBundle(prefix);
  t.deepEqual(
    checkpoint.tensors.map(({ name, shape }) => [name, shape]),
    variables.map(([name, shape]) => [name, shape]),
  );
  await assertRefused(t, new TensorReader().values(checkpoint.tensors[0]), 'E_TF_CRC');
  for (const file of checkpoint.files) await file.close();
});

const TENSORS = [
  { name: 'a', shape: [2, 3], data: ramp(6) },
  { name: 'b/scalar', shape: [], data: ramp(1, 9) },
  { name: 'c/double', shape: [2], data: Float64Array.of(1.25, -3) },
  { name: 'd/empty', shape: [0, 4], data: new Float32Array(0) },
  { name: 'global_step', shape: [], data: BigInt64Array.of(125000n) },
  { name: 'h/half', shape: [3], data: Uint16Array.of(0x3c00, 0xc000, 0x0001) },
  { name: 'i/bfloat', shape: [2], data: Uint16Array.of(0x3f80, 0xc040), dtype: 14 },
];

test('written tensors come back exactly, from one block or many, one shard or several', async (t) => {
  const folder = await temporaryFolder(t);
  for (const options of [{}, { rowsPerBlock: 2 }, { shards: 3 }]) {
    const tensors = TENSORS.map((tensor, index) => ({ ...tensor, shard: index % (options.shards ?? 1) }));
    const read = await readAll(openTfBundle(await writeBundle(join(folder, 'model.ckpt'), tensors, options)));
    t.deepEqual(
      [...read.keys()],
      TENSORS.map(({ name }) => name),
    );
    t.deepEqual(read.get('a'), { dtype: 'F32', shape: [2, 3], values: [...ramp(6)] });
    t.deepEqual(read.get('b/scalar')?.values, [9]);
    t.deepEqual(read.get('c/double'), { dtype: 'F64', shape: [2], values: [1.25, -3] });
    t.deepEqual(read.get('d/empty')?.shape, [0, 4]);
    t.is(read.get('global_step')?.dtype, 'I64');
    t.deepEqual(read.get('h/half')?.values, [1, -2, 2 ** -24]);
    t.deepEqual(read.get('i/bfloat')?.values, [1, -3]);
  }
});

test('a variable stored in parts is put together, straight and transposed', async (t) => {
  const whole = { start: 0, length: -1 };
  const slices = [
    [{ start: 0, length: 2 }, whole],
    [
      { start: 2, length: 3 },
      { start: 0, length: 3 },
    ],
    [
      { start: 2, length: 3 },
      { start: 3, length: 1 },
    ],
  ];
  const tensors = [
    { name: 'p', shape: [5, 4], data: ramp(20), slices },
    { name: 'q', shape: [2], data: ramp(2) },
  ];
  const prefix = await writeBundle(join(await temporaryFolder(t), 'm'), tensors);
  const read = await readAll(openTfBundle(prefix));
  t.deepEqual([...read.keys()], ['p', 'q']);
  t.deepEqual(read.get('p'), { dtype: 'F32', shape: [5, 4], values: [...ramp(20)] });
  const checkpoint = await openTfBundle(prefix);
  const turned = await new TensorReader().values(transposed(checkpoint.tensors[0]));
  t.deepEqual(
    [...turned],
    Array.from({ length: 20 }, (_, k) => 0.5 + (k % 5) * 4 + Math.floor(k / 5)),
  );
  for (const file of checkpoint.files) await file.close();
});

test('a transposed tensor larger than a block is the same as turned in memory', async (t) => {
  const [rows, columns] = [4100, 4100];
  const data = ramp(rows * columns);
  const prefix = await writeBundle(join(await temporaryFolder(t), 'm'), [
    { name: 'w', shape: [rows, columns], data },
  ]);
  const checkpoint = await openTfBundle(prefix);
  let at = 0;
  let blocks = 0;
  for await (const block of new TensorReader().blocks(transposed(checkpoint.tensors[0]))) {
    blocks += 1;
    for (const value of block) {
      if (value !== data[(at % rows) * columns + Math.floor(at / rows)]) t.fail(`element ${at}`);
      at += 1;
    }
  }
  t.is(at, rows * columns);
  t.true(blocks > 1);
  for (const file of checkpoint.files) await file.close();
});

const GOOD = bundle(TENSORS);
const byte = (value: number) => Buffer.from([value]);
const row = (name: string, fields: EntryFields): TableRow => ({
  key: Buffer.from(name),
  value: bundleEntry(fields),
});
const header: TableRow = { key: Buffer.alloc(0), value: bundleHeader() };
/** An index of these rows. */
const indexOf = (...rows: TableRow[]) => table([header, ...rows]);
const ONE = { shape: [1], size: 4 };
/** A table with these contents in its only data block. */
const rawBlock = (contents: Buffer) => table([header], { contents: () => contents });
const many = (count: number) =>
  Array.from({ length: count }, (_, k) => ({ key: Buffer.from(String(k).padStart(8, '0')), value: byte(0) }));
const withRestarts = (...words: number[]) => {
  const bytes = Buffer.alloc(4 * words.length);
  for (const [index, word] of words.entries()) bytes.writeUInt32LE(word, 4 * index);
  return bytes;
};
/** Keys that share all but two bytes with the one before: little in the file, much in memory. */
const sharing = (count: number) => {
  const counter = (k: number) => Buffer.from([k >> 8, k & 0xff]);
  const parts = [Buffer.concat([varint(0), varint(4002), varint(0), Buffer.alloc(4000, 'k'), counter(0)])];
  for (let k = 1; k < count; k += 1)
    parts.push(Buffer.concat([varint(4000), varint(2), varint(0), counter(k)]));
  return Buffer.concat([...parts, withRestarts(0, 1)]);
};
const patched = (at: number, value: number) => {
  const bytes = Buffer.from(GOOD.index);
  bytes[at < 0 ? bytes.length + at : at] = value;
  return bytes;
};

/** What is wrong, the index, the reason. */
const HOSTILE_INDEXES: [string, Buffer, string][] = [
  ['shorter than a footer', Buffer.alloc(47), 'E_TRUNCATED'],
  ['another magic number', patched(-1, 0), 'E_TF_INDEX'],
  ['a handle of a varint without end', patched(-48, 0xff), 'E_TF_INDEX'],
  ['a footer that is not padded with zeros', patched(-9, 1), 'E_TF_INDEX'],
  [
    'a block beyond the footer',
    Buffer.concat([blockOnDisk(tableBlock([])), tableFooter(blockHandle(0, 8), blockHandle(0, 9000))]),
    'E_TF_INDEX',
  ],
  [
    'a block that begins beyond the file',
    Buffer.concat([blockOnDisk(tableBlock([])), tableFooter(blockHandle(0, 8), blockHandle(2 ** 40, 8))]),
    'E_TF_INDEX',
  ],
  [
    'a block of 2^63 bytes',
    Buffer.concat([blockOnDisk(tableBlock([])), tableFooter(blockHandle(0, 8), blockHandle(0, 2n ** 63n))]),
    'E_TF_INDEX',
  ],
  ['a wrong block checksum', patched(20, 0x55), 'E_TF_CRC'],
  ['compressed blocks', table([header], { blockType: 1 }), 'E_TF_COMPRESSED'],
  ['blocks of an unknown type', table([header], { blockType: 7 }), 'E_TF_INDEX'],
  ['more restarts than the block holds', rawBlock(withRestarts(0, 1000)), 'E_TF_INDEX'],
  ['2^32-1 restarts', rawBlock(withRestarts(0, 0xffffffff)), 'E_TF_INDEX'],
  ['no restart', rawBlock(withRestarts(0)), 'E_TF_INDEX'],
  ['an empty block', rawBlock(Buffer.alloc(0)), 'E_TF_INDEX'],
  ['restarts out of order', rawBlock(Buffer.concat([byte(0), withRestarts(0, 0, 2)])), 'E_TF_INDEX'],
  [
    'a restart that is no entry',
    rawBlock(Buffer.concat([Buffer.from([0, 1, 0, 65]), withRestarts(0, 2, 2)])),
    'E_TF_INDEX',
  ],
  [
    'an entry that shares more than the key before it has',
    rawBlock(Buffer.concat([Buffer.from([0, 1, 0, 65, 2, 1, 0, 66]), withRestarts(0, 1)])),
    'E_TF_INDEX',
  ],
  [
    'an entry that shares at a restart',
    rawBlock(Buffer.concat([Buffer.from([1, 1, 0, 65]), withRestarts(0, 1)])),
    'E_TF_INDEX',
  ],
  [
    'an entry that ends within the restarts',
    rawBlock(Buffer.concat([Buffer.from([0, 1, 9, 65]), withRestarts(0, 1)])),
    'E_TF_INDEX',
  ],
  [
    'a length of six bytes',
    rawBlock(Buffer.concat([Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0]), withRestarts(0, 1)])),
    'E_TF_INDEX',
  ],
  [
    'a length above 2^32',
    rawBlock(Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff, 0x1f, 0]), withRestarts(0, 1)])),
    'E_TF_INDEX',
  ],
  ['unsorted keys', indexOf(row('b', ONE), row('a', ONE)), 'E_TF_INDEX'],
  ['a key twice', indexOf(row('a', ONE), row('a', ONE)), 'E_TF_INDEX'],
  [
    'unsorted keys in different blocks',
    table([header, row('b', ONE), row('a', ONE)], { rowsPerBlock: 1 }),
    'E_TF_INDEX',
  ],
  ['more than 100,000 entries', table([header, ...many(100_001)]), 'E_TF_INDEX'],
  ['a key of more than 4,096 bytes', indexOf(row('k'.repeat(4097), ONE)), 'E_TF_INDEX'],
  ['keys of gigabytes by sharing', rawBlock(sharing(60_000)), 'E_TF_INDEX'],
  ['no header', table([row('a', ONE)]), 'E_TF_INDEX'],
  ['a header of no shards', table([{ key: Buffer.alloc(0), value: bundleHeader(0) }]), 'E_TF_INDEX'],
  [
    'big-endian tensors',
    table([{ key: Buffer.alloc(0), value: bundleHeader(1, Buffer.from([0x10, 1])) }]),
    'E_TF_BIG_ENDIAN',
  ],
  [
    'a version for newer readers',
    table([{ key: Buffer.alloc(0), value: bundleHeader(1, Buffer.from([0x1a, 2, 0x10, 2])) }]),
    'E_TF_VERSION',
  ],
  [
    'a version that excludes this reader',
    table([{ key: Buffer.alloc(0), value: bundleHeader(1, Buffer.from([0x1a, 2, 0x18, 1])) }]),
    'E_TF_VERSION',
  ],
  ['a name that is not UTF-8', indexOf({ key: Buffer.from([0xff]), value: bundleEntry(ONE) }), 'E_TF_INDEX'],
  [
    'a message that ends early',
    indexOf({ key: Buffer.from('a'), value: Buffer.from([0x12, 0x7f]) }),
    'E_TF_INDEX',
  ],
  [
    'a number of eleven bytes',
    indexOf({ key: Buffer.from('a'), value: Buffer.concat([byte(8), Buffer.alloc(10, 0xff), byte(1)]) }),
    'E_TF_INDEX',
  ],
  ['a group field', indexOf({ key: Buffer.from('a'), value: byte(0x0b) }), 'E_TF_INDEX'],
  ['a type that is none', indexOf(row('a', { ...ONE, dtype: 99 })), 'E_DTYPE'],
  ['a reference type', indexOf(row('a', { ...ONE, dtype: 101 })), 'E_DTYPE'],
  ['a rank above eight', indexOf(row('a', { shape: [1, 1, 1, 1, 1, 1, 1, 1, 1], size: 4 })), 'E_TF_INDEX'],
  ['a negative dimension', indexOf(row('a', { shape: [-1n], size: 4 })), 'E_TENSOR_BOUNDS'],
  ['a product that overflows', indexOf(row('a', { shape: [2 ** 40, 2 ** 40], size: 4 })), 'E_TENSOR_BOUNDS'],
  ['a size of 2^63', indexOf(row('a', { shape: [1], size: 2n ** 63n })), 'E_TENSOR_BOUNDS'],
  ['a negative size', indexOf(row('a', { shape: [1], size: -4n })), 'E_TENSOR_BOUNDS'],
  ['a negative offset', indexOf(row('a', { ...ONE, offset: -4n })), 'E_TENSOR_BOUNDS'],
  ['bytes that do not fit the shape', indexOf(row('a', { shape: [2], size: 4 })), 'E_TENSOR_BOUNDS'],
  ['a shard beyond their number', indexOf(row('a', { ...ONE, shard: 1 })), 'E_TENSOR_BOUNDS'],
  [
    'tensors that overlap',
    indexOf(row('a', { shape: [2], size: 8 }), row('b', { ...ONE, offset: 4 })),
    'E_RANGE_OVERLAP',
  ],
  ['a tensor beyond the end of its shard', indexOf(row('a', { shape: [100], size: 400 })), 'E_TRUNCATED'],
  [
    'objects instead of variables',
    indexOf(row('_CHECKPOINTABLE_OBJECT_GRAPH', { ...ONE, dtype: 7 })),
    'E_TF_OBJECT_GRAPH',
  ],
  ['attributes of objects', indexOf(row('w/.ATTRIBUTES/VARIABLE_VALUE', ONE)), 'E_TF_OBJECT_GRAPH'],
];

for (const [what, index, reason] of HOSTILE_INDEXES) {
  test(`an index with ${what} is refused`, async (t) => {
    const prefix = join(await temporaryFolder(t), 'model.ckpt');
    await writeFile(`${prefix}.index`, index);
    await writeFile(shardPath(prefix, 0, 1), Buffer.alloc(64));
    await assertRefused(t, openTfBundle(prefix), reason);
  });
}

const P = [2, 2];
const slice = (start: number, length: number) => [
  { start, length },
  { start: 0, length: -1 },
];
const sliceRow = (extents: ReturnType<typeof slice>, fields: EntryFields): TableRow => ({
  key: sliceKey('p', extents),
  value: bundleEntry(fields),
});
const HALF = { shape: [1, 2], size: 8 };

/** What is wrong with the parts of the variable p, of shape [2, 2]. */
const HOSTILE_PARTS: [string, TableRow[]][] = [
  [
    'a part that is missing',
    [row('p', { shape: P, slices: [slice(0, 1), slice(1, 1)] }), sliceRow(slice(0, 1), HALF)],
  ],
  [
    'parts that overlap',
    [row('p', { shape: P, slices: [slice(0, 1), slice(0, 1)] }), sliceRow(slice(0, 1), HALF)],
  ],
  ['parts that leave a gap', [row('p', { shape: P, slices: [slice(0, 1)] }), sliceRow(slice(0, 1), HALF)]],
  [
    'a part beyond its bounds',
    [row('p', { shape: P, slices: [slice(1, 2)] }), sliceRow(slice(1, 2), { shape: [2, 2], size: 16 })],
  ],
  [
    'a part of another shape',
    [row('p', { shape: P, slices: [slice(0, 2)] }), sliceRow(slice(0, 2), { shape: [4], size: 16 })],
  ],
  [
    'a part of another type',
    [row('p', { shape: P, slices: [slice(0, 2)] }), sliceRow(slice(0, 2), { shape: P, size: 16, dtype: 3 })],
  ],
  ['a part of another rank', [row('p', { shape: [4], slices: [slice(0, 2)] }), sliceRow(slice(0, 2), HALF)]],
];

for (const [what, rows] of HOSTILE_PARTS) {
  test(`a partitioned variable with ${what} is refused`, async (t) => {
    const prefix = join(await temporaryFolder(t), 'model.ckpt');
    const sorted = [...rows].sort((a, b) => Buffer.compare(a.key, b.key));
    await writeFile(`${prefix}.index`, indexOf(...sorted));
    await writeFile(shardPath(prefix, 0, 1), Buffer.alloc(64));
    await assertRefused(t, openTfBundle(prefix), 'E_TF_PARTITIONED');
  });
}

test('a changed weight, a shard that is missing or a folder, and NaN are refused', async (t) => {
  const folder = await temporaryFolder(t);
  const prefix = await writeBundle(join(folder, 'm'), [
    { name: 'a', shape: [2], data: Float32Array.of(1, Number.NaN) },
  ]);
  const error = await assertRefused(t, readAll(openTfBundle(prefix)), 'E_NONFINITE');
  t.is(error.details.byteOffset, 4);
  t.is(error.details.tensor, 'a');
  const shard = shardPath(prefix, 0, 1);
  await writeFile(shard, Buffer.alloc(8, 1));
  await assertRefused(t, readAll(openTfBundle(prefix)), 'E_TF_CRC');
  await rm(shard);
  await assertRefused(t, readAll(openTfBundle(prefix)), 'E_TF_SHARD');
  await mkdir(shard);
  await assertRefused(t, readAll(openTfBundle(prefix)), 'E_IO');
  await t.throwsAsync(openTfBundle(join(folder, 'none')), { code: 'ERR_MODEL_NOT_FOUND' });
});

test('a weight of another type is listed but not loaded', async (t) => {
  const prefix = await writeBundle(join(await temporaryFolder(t), 'm'), [
    { name: 'a', shape: [1], data: BigInt64Array.of(1n) },
  ]);
  const checkpoint = await openTfBundle(prefix);
  await t.throwsAsync(new TensorReader().values(checkpoint.tensors[0]), { code: 'ERR_CHECKPOINT_MISMATCH' });
  for (const file of checkpoint.files) await file.close();
});

test('the checksum of a tensor is the masked one of its bytes', (t) => {
  const entry = bundle([{ name: 'a', shape: [1], data: ramp(1) }]).index;
  const crc = Buffer.alloc(4);
  crc.writeUInt32LE(maskCrc32c(crc32c(Buffer.from(ramp(1).buffer))));
  t.true(entry.includes(crc));
});
