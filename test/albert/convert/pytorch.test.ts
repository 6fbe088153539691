import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { openPytorchLegacy } from '../../../albert/convert/pytorch-legacy.js';
import { openPytorchZip } from '../../../albert/convert/pytorch-zip.js';
import type { StateDictOptions } from '../../../albert/convert/state-dict.js';
import { assertRefused, ramp, readAll } from '../../support/checkpoints.js';
import { fixture, temporaryFolder } from '../../support/paths.js';
import {
  type Layout,
  op,
  pickle,
  stateDictObject,
  storage,
  storageId,
  type TorchTensor,
  tensorObject,
  torchLegacy,
  torchZip,
  type ZipEntry,
} from '../../support/pytorch-writer.js';

const OPEN = { zip: openPytorchZip, legacy: openPytorchLegacy };
const WRITE = { zip: torchZip, legacy: torchLegacy };
const LAYOUTS: Layout[] = ['zip', 'legacy'];

async function readBytes(t: ExecutionContext, layout: Layout, bytes: Buffer, options?: StateDictOptions) {
  const file = join(await temporaryFolder(t), 'model.bin');
  await writeFile(file, bytes);
  return readAll(OPEN[layout](file, options));
}

const TORCH_DTYPES: Record<string, string> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  float64: 'F64',
  int64: 'I64',
  bool: 'BOOL',
};

interface ExpectedTensor {
  dtype: string;
  shape: number[];
  values: number[];
}

const expected = JSON.parse(await readFile(fixture('checkpoints', 'expected.json'), 'utf8')) as Record<
  string,
  Record<string, ExpectedTensor>
>;

for (const layout of LAYOUTS) {
  test(`what torch saved comes back exactly from its ${layout} file`, async (t) => {
    const read = await readAll(OPEN[layout](fixture('checkpoints', `tensors.${layout}.pt`)));
    t.deepEqual([...read.keys()], Object.keys(expected.tensors));
    for (const [name, { dtype, shape, values }] of Object.entries(expected.tensors)) {
      const actual = read.get(name);
      t.is(actual?.dtype, TORCH_DTYPES[dtype], name);
      t.deepEqual(actual?.shape, shape, name);
      if (dtype.includes('float')) t.deepEqual(actual?.values, values.map(Math.fround), name);
    }
  });
}

test("a training script's checkpoint has its state dict under a usual key", async (t) => {
  const read = await readAll(openPytorchZip(fixture('checkpoints', 'training.pt')));
  t.deepEqual([...read.keys()], ['weight', 'bias']);
  for (const [name, { values }] of Object.entries(expected.training)) {
    t.deepEqual(read.get(name)?.values, values);
  }
  const wrong = openPytorchZip(fixture('checkpoints', 'training.pt'), { key: 'optimizer' });
  await t.throwsAsync(wrong, { code: 'ERR_CHECKPOINT_MISMATCH', message: /"optimizer"/ });
});

test('a whole module is refused, with what to save instead', async (t) => {
  const error = await assertRefused(
    t,
    readAll(openPytorchZip(fixture('checkpoints', 'module.pt'))),
    'E_PICKLE_GLOBAL',
  );
  t.regex(error.message, /torch\.nn\.modules\.linear\.Linear.*save model\.state_dict\(\)/);
});

const float = (count: number, key?: string) => storage('FloatStorage', ramp(count), key);
const dense = (name: string, size: number[], used = float(size.reduce((a, b) => a * b, 1))): TorchTensor => ({
  name,
  storage: used,
  size,
  stride: size.map((_, dim) => size.slice(dim + 1).reduce((a, b) => a * b, 1)),
});

for (const layout of LAYOUTS) {
  test(`written ${layout} files come back: strided, tied, empty, half, integers`, async (t) => {
    const shared = float(12);
    const tensors: TorchTensor[] = [
      dense('plain', [2, 3]),
      { name: 'square', storage: float(9), size: [3, 3], stride: [1, 3], parameter: true },
      { name: 'wide', storage: float(6), size: [3, 2], stride: [1, 3] },
      { ...dense('tied_a', [12], shared) },
      { name: 'tied_b', storage: shared, size: [2, 2], stride: [4, 1], offset: 5 },
      dense('none', [0, 4]),
      {
        name: 'half',
        storage: storage('HalfStorage', Uint16Array.of(0x3c00, 0x3800)),
        size: [2],
        stride: [1],
      },
      { name: 'bfloat', storage: storage('BFloat16Storage', Uint16Array.of(0x3f80)), size: [1], stride: [1] },
      { name: 'step', storage: storage('LongStorage', BigInt64Array.of(5n)), size: [], stride: [] },
    ];
    const read = await readBytes(t, layout, WRITE[layout](tensors));
    const values = (name: string) => read.get(name)?.values;
    t.deepEqual(values('plain'), [...ramp(6)]);
    t.deepEqual(values('square'), [0.5, 3.5, 6.5, 1.5, 4.5, 7.5, 2.5, 5.5, 8.5]);
    t.deepEqual(values('wide'), [0.5, 3.5, 1.5, 4.5, 2.5, 5.5]);
    t.deepEqual(values('tied_a'), [...ramp(12)]);
    t.deepEqual(values('tied_b'), [5.5, 6.5, 9.5, 10.5]);
    t.deepEqual(values('none'), []);
    t.deepEqual(values('half'), [1, 0.5]);
    t.deepEqual(values('bfloat'), [1]);
    t.is(read.get('step')?.dtype, 'I64');
  });
}

const usual = (...keys: string[]) =>
  pickle(
    op.emptyDict,
    op.mark,
    ...keys.flatMap((key) => [op.text(key), stateDictObject([W], 'zip')]),
    op.text('epoch'),
    op.integer(3),
    op.setItems,
  );

test('the state dict is found under each usual key, and several must be told apart', async (t) => {
  for (const key of ['state_dict', 'model_state_dict', 'model', 'module', 'net']) {
    const read = await readBytes(t, 'zip', torchZip([W], { object: usual(key) }));
    t.deepEqual([...read.keys()], ['w']);
  }
  const two = torchZip([W], { object: usual('model', 'ema') });
  t.deepEqual([...(await readBytes(t, 'zip', two, { key: 'ema' })).keys()], ['w']);
  for (const object of [
    usual('model', 'net'),
    usual('weights'),
    pickle(op.integer(5)),
    pickle(op.emptyDict),
  ]) {
    const error = await t.throwsAsync(readBytes(t, 'zip', torchZip([W], { object })));
    t.like(error, { code: 'ERR_CHECKPOINT_MISMATCH', details: { reason: 'E_PT_STATE_DICT' } });
  }
});

test('a plain zip directory, an archive name of its own and a comment are fine', async (t) => {
  for (const options of [{ zip64: false }, { folder: 'pytorch_model' }, { comment: Buffer.from('hello') }]) {
    t.deepEqual((await readBytes(t, 'zip', torchZip([W], options))).get('w')?.values, [...ramp(4)]);
  }
});

test('missing records of empty storages are fine, bytes after the last storage a warning', async (t) => {
  const empty = dense('e', [0]);
  const entries = (all: ZipEntry[]) => all.filter(({ name }) => !name.includes('data/'));
  t.deepEqual((await readBytes(t, 'zip', torchZip([empty], { entries }))).get('e')?.values, []);
  const file = join(await temporaryFolder(t), 'model.bin');
  await writeFile(file, torchLegacy([W], { more: Buffer.from('more') }));
  const checkpoint = await openPytorchLegacy(file);
  t.regex(checkpoint.warnings[0], /4 bytes after/);
  for (const open of checkpoint.files) await open.close();
  const link = join(await temporaryFolder(t), 'link.bin');
  await symlink(file, link);
  t.deepEqual((await readAll(openPytorchLegacy(link))).get('w')?.values, [...ramp(4)]);
});

const W = dense('w', [2, 2], float(4, '0'));
const byte = (...values: number[]) => Buffer.from(values);
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const call = (name: string, ...args: Uint8Array[]) =>
  pickle(op.global('collections', name), op.mark, ...args, op.tuple, op.reduce);
const deep = (count: number) => Buffer.concat(Array.from({ length: count }, () => byte(0x85)));
const dictOf = (...items: Uint8Array[]) => pickle(op.emptyDict, op.mark, ...items, op.setItems);
const rebuild = (...args: Uint8Array[]) =>
  dictOf(
    op.text('w'),
    op.global('torch._utils', '_rebuild_tensor_v2'),
    op.mark,
    ...args,
    op.tuple,
    op.reduce,
  );

/** What the pickle does, the pickle, the reason. */
const HOSTILE_PICKLES: [string, Buffer, string][] = [
  [
    'calls os.system',
    pickle(op.global('os', 'system'), op.mark, op.text('false'), op.tuple, op.reduce),
    'E_PICKLE_GLOBAL',
  ],
  ['asks for builtins', pickle(op.global('__builtin__', 'eval')), 'E_PICKLE_GLOBAL'],
  [
    'asks for another part of torch',
    pickle(op.global('torch._tensor', '_rebuild_from_type_v2')),
    'E_PICKLE_GLOBAL',
  ],
  ['has a global without end', pickle(Buffer.from(`c${'a'.repeat(100_000)}`)), 'E_PICKLE_GLOBAL'],
  ['has a global with strange letters', pickle(op.global('os\0', 'system')), 'E_PICKLE_GLOBAL'],
  ['calls a dict with a number', call('OrderedDict', op.integer(1)), 'E_PICKLE_CALL'],
  ['calls a dict with two arguments', call('OrderedDict', op.emptyList, op.emptyList), 'E_PICKLE_CALL'],
  ['calls a string', pickle(op.text('x'), op.emptyTuple, op.reduce), 'E_PICKLE_CALL'],
  [
    'calls a storage type',
    pickle(op.global('torch', 'FloatStorage'), op.emptyTuple, op.reduce),
    'E_PICKLE_CALL',
  ],
  [
    'calls with something that is no tuple',
    pickle(op.global('collections', 'OrderedDict'), op.emptyList, op.reduce),
    'E_PICKLE_CALL',
  ],
  ['builds a list', pickle(op.emptyList, op.none, op.build), 'E_PICKLE_CALL'],
  [
    'rebuilds a tensor without a storage',
    rebuild(op.none, op.integer(0), op.emptyTuple, op.emptyTuple, op.false, op.none),
    'E_PICKLE_CALL',
  ],
  [
    'rebuilds a tensor of five arguments',
    rebuild(storageId(W.storage, 'zip'), op.integer(0), op.emptyTuple, op.emptyTuple, op.false),
    'E_PICKLE_CALL',
  ],
  [
    'rebuilds a tensor of a fractional offset',
    rebuild(
      storageId(W.storage, 'zip'),
      Buffer.concat([byte(0x47), Buffer.alloc(8, 1)]),
      op.emptyTuple,
      op.emptyTuple,
      op.false,
      op.none,
    ),
    'E_PICKLE_CALL',
  ],
  [
    'rebuilds a tensor whose size is a list',
    rebuild(storageId(W.storage, 'zip'), op.integer(0), op.emptyList, op.emptyTuple, op.false, op.none),
    'E_PICKLE_CALL',
  ],
  [
    'names a module in a persistent id',
    pickle(op.mark, op.text('module'), op.none, op.none, op.none, op.none, op.tuple, op.persistentId),
    'E_PICKLE_CALL',
  ],
  ['has a string as a persistent id', pickle(op.text('x'), op.persistentId), 'E_PICKLE_CALL'],
  [
    'makes an object',
    pickle(op.global('collections', 'OrderedDict'), op.emptyTuple, byte(0x81)),
    'E_PICKLE_OPCODE',
  ],
  ['uses INST', pickle(op.mark, Buffer.from('ios\nsystem\n')), 'E_PICKLE_OPCODE'],
  ['uses OBJ', pickle(op.mark, op.global('collections', 'OrderedDict'), Buffer.from('o')), 'E_PICKLE_OPCODE'],
  ['uses STACK_GLOBAL', pickle(op.text('os'), op.text('system'), byte(0x93)), 'E_PICKLE_OPCODE'],
  ['uses an extension', pickle(byte(0x82, 1)), 'E_PICKLE_OPCODE'],
  ['uses FRAME', pickle(byte(0x95), Buffer.alloc(8)), 'E_PICKLE_OPCODE'],
  ['uses MEMOIZE', pickle(op.none, byte(0x94)), 'E_PICKLE_OPCODE'],
  ['duplicates', pickle(op.none, Buffer.from('2')), 'E_PICKLE_OPCODE'],
  ['pops', pickle(op.none, op.none, Buffer.from('0')), 'E_PICKLE_OPCODE'],
  ['has an unknown opcode', pickle(byte(0xff)), 'E_PICKLE_OPCODE'],
  ['is of protocol 3', Buffer.concat([byte(0x80, 3), op.none, op.stop]), 'E_PICKLE_OPCODE'],
  ['is of protocol 0', Buffer.from('(dp0\n.'), 'E_PICKLE_OPCODE'],
  ['takes from an empty stack', pickle(op.setItem), 'E_PICKLE_CORRUPT'],
  ['takes below a mark', pickle(op.none, op.none, op.mark, byte(0x86)), 'E_PICKLE_CORRUPT'],
  ['lacks a mark', pickle(op.emptyDict, op.setItems), 'E_PICKLE_CORRUPT'],
  ['leaves values over', pickle(op.none, op.none), 'E_PICKLE_CORRUPT'],
  ['leaves a mark open', pickle(op.none, op.mark), 'E_PICKLE_CORRUPT'],
  ['ends with nothing', pickle(), 'E_PICKLE_CORRUPT'],
  ['gets what the memo has not', pickle(op.get(5)), 'E_PICKLE_CORRUPT'],
  ['puts at a huge memo index', pickle(op.none, op.put(200_000_000)), 'E_PICKLE_CORRUPT'],
  ['puts at an index beyond its opcodes', pickle(op.none, op.put(1000)), 'E_PICKLE_CORRUPT'],
  ['claims a string of 4 GB', pickle(Buffer.from('X'), int32(0xffffffff)), 'E_PICKLE_CORRUPT'],
  ['has a string of more than 65,536 bytes', pickle(op.text('x'.repeat(65_537))), 'E_PICKLE_CORRUPT'],
  ['has a string that is not UTF-8', pickle(Buffer.from('X'), int32(1), byte(0xff)), 'E_PICKLE_CORRUPT'],
  ['has a short string that is not ASCII', pickle(Buffer.from('U'), byte(1, 0xff)), 'E_PICKLE_CORRUPT'],
  ['has an integer of nine bytes', pickle(byte(0x8a, 9), Buffer.alloc(9, 1)), 'E_PICKLE_CORRUPT'],
  ['has a dict key that is a list', dictOf(op.emptyList, op.none), 'E_PICKLE_CORRUPT'],
  [
    'gives a name twice',
    dictOf(op.text('w'), tensorObject(W, 'zip'), op.text('w'), tensorObject(W, 'zip')),
    'E_PICKLE_CORRUPT',
  ],
  ['has a key without a value', dictOf(op.text('w')), 'E_PICKLE_CORRUPT'],
  ['appends to a dict', pickle(op.emptyDict, op.none, op.append), 'E_PICKLE_CORRUPT'],
  [
    'has a tensor name of more than 1,024 bytes',
    dictOf(op.text('w'.repeat(1025)), tensorObject(W, 'zip')),
    'E_PICKLE_CORRUPT',
  ],
  ['makes millions of objects', pickle(Buffer.alloc(2_000_001, ']')), 'E_PICKLE_CORRUPT'],
  ['opens millions of marks', pickle(Buffer.alloc(1_000_002, '(')), 'E_PICKLE_CORRUPT'],
  ['fills the memo', memoBomb(1_000_001), 'E_PICKLE_CORRUPT'],
];

function memoBomb(count: number): Buffer {
  const puts = Buffer.alloc(5 * count, 'r');
  for (let index = 0; index < count; index += 1) puts.writeUInt32LE(index, 5 * index + 1);
  return pickle(op.none, puts);
}

for (const [what, object, reason] of HOSTILE_PICKLES) {
  test(`a pickle that ${what} is refused`, async (t) => {
    const error = await assertRefused(t, readBytes(t, 'zip', torchZip([W], { object })), reason);
    t.true((error.details.byteOffset as number) > 0);
    if (['claims a string of 4 GB'].includes(what)) return;
    await assertRefused(t, readBytes(t, 'legacy', torchLegacy([W], { object: legacyOf(object) })), reason);
  });
}

/** The same pickle with storages as older files name them. */
function legacyOf(object: Buffer): Buffer {
  const [zip, legacy] = (['zip', 'legacy'] as const).map((layout) => storageId(W.storage, layout));
  const parts: Buffer[] = [];
  let at = 0;
  for (let next = object.indexOf(zip); next >= 0; next = object.indexOf(zip, at)) {
    parts.push(object.subarray(at, next), legacy);
    at = next + zip.length;
  }
  return Buffer.concat([...parts, object.subarray(at)]);
}

test('a pickle without STOP is refused', async (t) => {
  const object = pickle(stateDictObject([W], 'zip')).subarray(0, -1);
  await assertRefused(t, readBytes(t, 'zip', torchZip([W], { object })), 'E_PICKLE_CORRUPT');
  const more = Buffer.concat([pickle(stateDictObject([W], 'zip')), op.none]);
  await assertRefused(t, readBytes(t, 'zip', torchZip([W], { object: more })), 'E_PICKLE_CORRUPT');
});

test('values that hold themselves, deep and shared ones cost nothing', async (t) => {
  const self = [op.emptyDict, op.put(0), op.text('me'), op.get(0), op.setItem];
  const doubled = Array.from({ length: 60 }, (_, k) => Buffer.concat([op.put(k), op.get(k), byte(0x86)]));
  for (const inner of [pickle(...self), pickle(op.none, deep(100_000)), pickle(op.none, ...doubled)]) {
    const error = await t.throwsAsync(readBytes(t, 'zip', torchZip([], { object: inner })));
    t.like(error, { details: { reason: 'E_PT_STATE_DICT' } });
  }
});

const view = (fields: Partial<TorchTensor>) => ({ ...W, ...fields });

/** What is wrong with the view, the tensor. The storage has four elements. */
const HOSTILE_VIEWS: [string, TorchTensor][] = [
  ['a negative dimension', view({ size: [-1, 2] })],
  ['a negative stride', view({ stride: [-2, 1] })],
  ['a negative offset', view({ offset: -1 })],
  ['an offset beyond the storage', view({ offset: 1 })],
  ['a size beyond the storage', view({ size: [3, 2] })],
  ['strides beyond the storage', view({ stride: [3, 1] })],
  ['more strides than dimensions', view({ stride: [2, 1, 1] })],
  ['a product that overflows', view({ size: [2 ** 40, 2 ** 40], stride: [1, 1] })],
  ['a size of 2^62', view({ size: [2n ** 62n], stride: [1] })],
  ['a stride of 2^62', view({ stride: [2n ** 62n, 1] })],
  ['a rank above eight', view({ size: [1, 1, 1, 1, 1, 1, 1, 1, 1], stride: [1, 1, 1, 1, 1, 1, 1, 1, 1] })],
  ['an element repeated a billion times', view({ size: [1_000_000_000], stride: [0] })],
  ['an element repeated twice', view({ size: [2], stride: [0] })],
  ['elements that share memory', view({ size: [2, 2], stride: [1, 1] })],
];

for (const [what, tensor] of HOSTILE_VIEWS) {
  test(`a tensor with ${what} is refused`, async (t) => {
    for (const layout of LAYOUTS) {
      await assertRefused(t, readBytes(t, layout, WRITE[layout]([tensor])), 'E_TENSOR_BOUNDS');
    }
  });
}

const claim = (numel: number | bigint) => dense('w', [2, 2], { ...W.storage, numel });

test('storages that claim more or less than they have are refused before anything is allocated', async (t) => {
  for (const numel of [5, 250_000_000_000, -4, 2n ** 62n]) {
    const tensor = claim(numel);
    await assertRefused(t, readBytes(t, 'zip', torchZip([tensor])), 'E_STORAGE_SIZE');
  }
  await assertRefused(t, readBytes(t, 'legacy', torchLegacy([claim(5)], { count: () => 4 })), 'E_TRUNCATED');
  await assertRefused(
    t,
    readBytes(t, 'legacy', torchLegacy([claim(3)], { count: () => 4 })),
    'E_STORAGE_SIZE',
  );
  await assertRefused(
    t,
    readBytes(t, 'legacy', torchLegacy([W], { count: () => 2 ** 40 })),
    'E_STORAGE_SIZE',
  );
  const different = [W, dense('v', [2], { ...W.storage, numel: 2 })];
  const once = (all: ZipEntry[]) => all.filter((_, index) => index !== 3);
  await assertRefused(t, readBytes(t, 'zip', torchZip(different, { entries: once })), 'E_STORAGE_SIZE');
  const strange = dense('w', [2, 2], { ...W.storage, key: '../0' });
  await assertRefused(t, readBytes(t, 'zip', torchZip([strange])), 'E_ZIP_NAME');
  const entries = (all: ZipEntry[]) => all.filter(({ name }) => !name.includes('data/'));
  await assertRefused(t, readBytes(t, 'zip', torchZip([strange], { entries })), 'E_STORAGE_SIZE');
  await assertRefused(t, readBytes(t, 'zip', torchZip([W], { entries })), 'E_STORAGE_SIZE');
});

const rename = (name: string) => (all: ZipEntry[]) => [...all, { name, data: Buffer.from('x') }];
const change = (part: string, fields: Partial<ZipEntry>) => (all: ZipEntry[]) =>
  all.map((entry) => (entry.name.endsWith(part) ? { ...entry, ...fields } : entry));
const V = dense('v', [2, 2], float(4, '1'));
/** The directory says that the second record lies where the first does. */
const quoted = (all: ZipEntry[]) =>
  all.map((entry) => (entry.name.endsWith('/1') ? { ...entry, ghost: true, localOffset: 0 } : entry));

/** What is wrong with the zip file, the file, the reason. */
const HOSTILE_ZIPS: [string, Buffer, string][] = [
  ['a path that climbs', torchZip([W], { entries: rename('archive/../../x') }), 'E_ZIP_NAME'],
  ['an absolute path', torchZip([W], { entries: rename('/etc/passwd') }), 'E_ZIP_NAME'],
  ['a backslash', torchZip([W], { entries: rename('archive\\x') }), 'E_ZIP_NAME'],
  ['a NUL in a name', torchZip([W], { entries: rename('archive/x\0y') }), 'E_ZIP_NAME'],
  ['a drive name', torchZip([W], { entries: rename('C:x') }), 'E_ZIP_NAME'],
  ['an empty name', torchZip([W], { entries: rename('') }), 'E_ZIP_NAME'],
  ['a very long name', torchZip([W], { entries: rename(`archive/${'x'.repeat(2000)}`) }), 'E_ZIP_NAME'],
  ['an entry twice', torchZip([W], { entries: rename('archive/data.pkl') }), 'E_ZIP_DUPLICATE'],
  [
    'an encrypted entry',
    torchZip([W], { entries: change('data.pkl', { flags: 0x0809 }) }),
    'E_ZIP_ENCRYPTED',
  ],
  ['a compressed pickle', torchZip([W], { entries: change('data.pkl', { method: 8 }) }), 'E_ZIP_METHOD'],
  ['a compressed storage', torchZip([W], { entries: change('data/0', { method: 8 }) }), 'E_ZIP_METHOD'],
  ['two sizes', torchZip([W], { entries: change('data/0', { compressedSize: 8 }) }), 'E_ZIP_METHOD'],
  ['an entry in another part', torchZip([W], { entries: change('data/0', { disk: 3 }) }), 'E_ZIP_MULTIDISK'],
  ['an end in another part', torchZip([W], { disk: 2 }), 'E_ZIP_MULTIDISK'],
  ['an old end in another part', torchZip([W], { disk: 2, zip64: false }), 'E_ZIP_MULTIDISK'],
  [
    'a local header with another name',
    torchZip([W], { entries: change('data/0', { localName: 'archive/data/9' }) }),
    'E_ZIP_HEADER',
  ],
  [
    'a local header with another method',
    torchZip([W], { entries: change('data/0', { localMethod: 8 }) }),
    'E_ZIP_HEADER',
  ],
  [
    'a local header beyond the end',
    torchZip([W], { entries: change('data/0', { localOffset: 2 ** 31 }) }),
    'E_ZIP_HEADER',
  ],
  [
    'a local header that is none',
    torchZip([W], { entries: change('data/0', { localOffset: 3 }) }),
    'E_ZIP_HEADER',
  ],
  ['a pickle with another checksum', torchZip([W], { entries: change('data.pkl', { crc: 1 }) }), 'E_ZIP_CRC'],
  ['a storage with another checksum', torchZip([W], { entries: change('data/0', { crc: 1 }) }), 'E_ZIP_CRC'],
  [
    'a record that reaches into the directory',
    torchZip([W], { entries: change('version', { size: 200 }) }),
    'E_ZIP_OVERLAP',
  ],
  [
    'a record that reaches into the next one',
    torchZip([W], { entries: change('data/0', { size: 60 }) }),
    'E_ZIP_OVERLAP',
  ],
  ['two records in one place', torchZip([W, V], { entries: quoted }), 'E_ZIP_HEADER'],
  ['a directory elsewhere', torchZip([W], { directoryOffset: 10 }), 'E_ZIP_DIRECTORY'],
  ['an old directory elsewhere', torchZip([W], { directoryOffset: 10, zip64: false }), 'E_ZIP_DIRECTORY'],
  ['more entries than the directory has', torchZip([W], { count: 500_000 }), 'E_ZIP_DIRECTORY'],
  ['fewer entries than the directory has', torchZip([W], { count: 2 }), 'E_ZIP_DIRECTORY'],
  [
    'a second end in its comment',
    torchZip([W], { comment: Buffer.concat([Buffer.from('PK\x05\x06'), Buffer.alloc(18)]) }),
    'E_ZIP_DIRECTORY',
  ],
  [
    'another byte order',
    torchZip([W], { entries: change('byteorder', { data: Buffer.from('big') }) }),
    'E_PT_BIG_ENDIAN',
  ],
  [
    'the code of a TorchScript module',
    torchZip([W], { entries: rename('archive/constants.pkl') }),
    'E_PT_TORCHSCRIPT',
  ],
  ['a file outside its folder', torchZip([W], { entries: rename('other/x') }), 'E_ZIP_LAYOUT'],
  ['no pickle', torchZip([W], { entries: (all) => all.slice(1) }), 'E_ZIP_LAYOUT'],
  ['nothing', torchZip([], { entries: () => [] }), 'E_ZIP_LAYOUT'],
  ['half of its bytes', torchZip([W]).subarray(0, 400), 'E_TRUNCATED'],
];

for (const [what, bytes, reason] of HOSTILE_ZIPS) {
  test(`a zip file with ${what} is refused`, async (t) => {
    await assertRefused(t, readBytes(t, 'zip', bytes), reason);
  });
}

test('a second entry for the same record is refused', async (t) => {
  const entries = (all: ZipEntry[]) => [...all, { ...all[2], ghost: true, localOffset: 0 }];
  await assertRefused(t, readBytes(t, 'zip', torchZip([W], { entries })), 'E_ZIP_DUPLICATE');
});

/** What is wrong with the older file, the file, the reason. */
const HOSTILE_LEGACY: [string, Buffer, string][] = [
  ['another protocol', torchLegacy([W], { protocol: 1002 }), 'E_PT_LEGACY'],
  ['big-endian storages', torchLegacy([W], { littleEndian: false }), 'E_PT_BIG_ENDIAN'],
  ['a storage that is not listed', torchLegacy([W], { keys: [] }), 'E_PT_LEGACY'],
  ['a listed storage that is not there', torchLegacy([W], { keys: ['0', '7'] }), 'E_PT_LEGACY'],
  ['another storage listed', torchLegacy([W], { keys: ['7'] }), 'E_PT_LEGACY'],
  ['a storage listed twice', torchLegacy([W], { keys: ['0', '0'] }), 'E_PT_LEGACY'],
  [
    'a storage that is a view',
    torchLegacy([], { object: pickle(storageId(W.storage, 'legacy', op.emptyTuple)) }),
    'E_PT_VIEW',
  ],
  ['a magic number alone', torchLegacy([W]).subarray(0, 15), 'E_TRUNCATED'],
  ['another magic number', Buffer.concat([Buffer.from('8002'), torchLegacy([W])]), 'E_PT_LEGACY'],
  ['an end within its pickles', torchLegacy([W]).subarray(0, 120), 'E_TRUNCATED'],
  ['an end within its storages', torchLegacy([W]).subarray(0, -3), 'E_TRUNCATED'],
];

for (const [what, bytes, reason] of HOSTILE_LEGACY) {
  test(`an older file with ${what} is refused`, async (t) => {
    await assertRefused(t, readBytes(t, 'legacy', bytes), reason);
  });
}

test('a truncated file says how long it should be', async (t) => {
  const whole = torchLegacy([W]);
  const error = await assertRefused(t, readBytes(t, 'legacy', whole.subarray(0, -3)), 'E_TRUNCATED');
  t.like(error.details, { expected: whole.length, actual: whole.length - 3 });
});

test('NaN and infinity are refused with the name and the byte', async (t) => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const used = storage('FloatStorage', Float32Array.of(1, 2, value, 4));
    const tensor = { ...dense('w', [2, 2], used), stride: [1, 2] };
    for (const layout of LAYOUTS) {
      const bytes = WRITE[layout]([tensor]);
      const error = await assertRefused(t, readBytes(t, layout, bytes), 'E_NONFINITE');
      t.is(error.details.tensor, 'w');
      t.is(error.details.byteOffset, bytes.indexOf(used.bytes) + 8);
    }
  }
  const large = { ...dense('w', [1], storage('DoubleStorage', Float64Array.of(1e300))) };
  await assertRefused(t, readBytes(t, 'zip', torchZip([large])), 'E_NONFINITE');
});
