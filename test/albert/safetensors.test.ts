import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { readSafetensorsHeader, readTensor, writeSafetensors } from '../../albert/convert/safetensors.js';
import { AlbertNerError } from '../../lib/errors.js';
import { temporaryFolder } from '../support/paths.js';

/** A file with this header text and data. */
function assemble(header: string | Buffer, data: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([length, bytes, data]);
}

async function readBytes(t: ExecutionContext, bytes: Buffer) {
  const file = join(await temporaryFolder(t), 'x.safetensors');
  await writeFile(file, bytes);
  return readSafetensorsHeader(file);
}

const entry = (shape: string, begin: number, end: number, dtype = 'F32') =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

test('written tensors read back, with their metadata, and equal input gives equal bytes', async (t) => {
  const folder = await temporaryFolder(t);
  const tensors = [
    { name: 'b', shape: [2, 3], data: Float32Array.from([1, 2, 3, 4, 5, 6]) },
    { name: 'a', shape: [], data: Float32Array.from([7]) },
    { name: 'empty', shape: [0, 4], data: new Float32Array(0) },
  ];
  const file = join(folder, 'deep', 'x.safetensors');
  const written = await writeSafetensors(file, tensors, { metadata: { note: '王' } });
  const header = await readSafetensorsHeader(file);
  t.is(header.metadata.get('note'), '王');
  t.is(header.metadata.get('format'), 'pt');
  for (const { name, shape, data } of tensors) {
    const info = header.tensors.find((candidate) => candidate.name === name);
    t.deepEqual(info?.shape, shape);
    if (info) t.deepEqual(await readTensor(file, info), data);
  }
  t.is((await readFile(file)).length, written.bytes);
  t.is((header.tensors[0].begin as number) % 8, 0);
  const again = await writeSafetensors(join(folder, 'y.safetensors'), [...tensors].reverse(), {
    metadata: { note: '王' },
  });
  t.is(again.sha256, written.sha256);
});

test('data that does not fit its shape and names given twice are refused before anything is written', async (t) => {
  const file = join(await temporaryFolder(t), 'x.safetensors');
  const one = { name: 'a', shape: [1], data: new Float32Array(1) };
  for (const tensors of [[{ ...one, shape: [2] }], [one, one]]) {
    await t.throwsAsync(writeSafetensors(file, tensors), { code: 'ERR_INVALID_ARGUMENT' });
  }
  await t.throwsAsync(readFile(file));
});

const ONE = entry('[1]', 0, 4);
const REFUSED: [string, Buffer, string][] = [
  ['shorter than its length field', Buffer.alloc(5), 'E_TRUNCATED'],
  [
    'a header longer than the file',
    Buffer.concat([Buffer.from([200, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{}')]),
    'E_TRUNCATED',
  ],
  ['a header of terabytes', Buffer.from([0, 0, 0, 0, 0, 1, 0, 0, 123]), 'E_HEADER'],
  ['no JSON', assemble('nonsense'), 'E_HEADER'],
  ['an array', assemble('[]'), 'E_HEADER'],
  ['text after the object', assemble('{} x'), 'E_HEADER'],
  ['a trailing NUL', assemble('{}\0'), 'E_HEADER'],
  ['not UTF-8', assemble(Buffer.from([0x7b, 0xff, 0x7d])), 'E_HEADER'],
  ['a name twice', assemble(`{"a":${ONE},"a":${ONE}}`, Buffer.alloc(4)), 'E_HEADER'],
  [
    'a field twice',
    assemble('{"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}}', Buffer.alloc(4)),
    'E_HEADER',
  ],
  ['a missing field', assemble('{"a":{"dtype":"F32","shape":[1]}}', Buffer.alloc(4)), 'E_HEADER'],
  ['a fractional size', assemble(`{"a":${entry('[1.0]', 0, 4)}}`, Buffer.alloc(4)), 'E_HEADER'],
  ['a negative size', assemble(`{"a":${entry('[-1]', 0, 4)}}`, Buffer.alloc(4)), 'E_HEADER'],
  [
    'an integer beyond 2^53',
    assemble(`{"a":${entry('[9007199254740993]', 0, 4)}}`, Buffer.alloc(4)),
    'E_HEADER',
  ],
  ['metadata that is no string', assemble('{"__metadata__":{"a":1}}'), 'E_HEADER'],
  ['a dtype nobody knows', assemble(`{"a":${entry('[1]', 0, 4, 'F99')}}`, Buffer.alloc(4)), 'E_DTYPE'],
  [
    'a dtype named like a method',
    assemble(`{"a":${entry('[1]', 0, 4, 'toString')}}`, Buffer.alloc(4)),
    'E_DTYPE',
  ],
  ['an 8-bit float', assemble(`{"a":${entry('[4]', 0, 4, 'F8_E4M3')}}`, Buffer.alloc(4)), 'E_DTYPE'],
  [
    'more than 65,536 tensors',
    assemble(`{${Array.from({ length: 65_537 }, (_, k) => `"${k}":${entry('[0]', 0, 0)}`).join()}}`),
    'E_HEADER',
  ],
  [
    'bytes that do not fit the shape',
    assemble(`{"a":${entry('[2]', 0, 4)}}`, Buffer.alloc(4)),
    'E_TENSOR_BOUNDS',
  ],
  ['an end before its begin', assemble(`{"a":${entry('[1]', 4, 0)}}`, Buffer.alloc(4)), 'E_TENSOR_BOUNDS'],
  [
    'a product that overflows',
    assemble(`{"a":${entry('[4294967296,4294967296,4]', 0, 4)}}`, Buffer.alloc(4)),
    'E_TENSOR_BOUNDS',
  ],
  [
    'tensors that overlap',
    assemble(`{"a":${ONE},"b":${entry('[1]', 2, 6)}}`, Buffer.alloc(6)),
    'E_RANGE_OVERLAP',
  ],
  ['a hole', assemble(`{"a":${ONE},"b":${entry('[1]', 8, 12)}}`, Buffer.alloc(12)), 'E_RANGE_OVERLAP'],
  ['bytes after the last tensor', assemble(`{"a":${ONE}}`, Buffer.alloc(5)), 'E_RANGE_OVERLAP'],
  ['less data than it says', assemble(`{"a":${ONE}}`, Buffer.alloc(3)), 'E_TRUNCATED'],
];

for (const [what, bytes, reason] of REFUSED) {
  test(`a file with ${what} is refused`, async (t) => {
    const error = (await t.throwsAsync(readBytes(t, bytes), {
      instanceOf: AlbertNerError,
    })) as AlbertNerError;
    t.is(error.code, 'ERR_CHECKPOINT_UNREADABLE');
    t.is(error.details.reason, reason);
    t.is(typeof error.details.byteOffset, 'number');
  });
}

test('spaces around the header, unknown fields and names like __proto__ are fine', async (t) => {
  const { tensors } = await readBytes(
    t,
    assemble(
      ` {"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":[1,"x",null,true]}} `,
      Buffer.alloc(4),
    ),
  );
  t.is(tensors[0].name, '__proto__');
});

test('several empty tensors may share an offset, and a scalar has no dimensions', async (t) => {
  const empties = `"a":${entry('[0,3]', 0, 0)},"b":${entry('[0]', 0, 0)}`;
  const { tensors } = await readBytes(t, assemble(`{${empties},"c":${entry('[]', 0, 4)}}`, Buffer.alloc(4)));
  t.deepEqual(
    tensors.map(({ shape }) => shape),
    [[0, 3], [0], []],
  );
});

test('deep nesting is refused and does not exhaust the stack', async (t) => {
  const error = await t.throwsAsync(readBytes(t, assemble(`{"a":${'['.repeat(1e6)}`)), {
    instanceOf: AlbertNerError,
  });
  t.is((error as AlbertNerError).details.reason, 'E_HEADER');
});

test('a missing file is ERR_MODEL_NOT_FOUND', async (t) => {
  await t.throwsAsync(readSafetensorsHeader(join(await temporaryFolder(t), 'none')), {
    code: 'ERR_MODEL_NOT_FOUND',
  });
});

test('a file with any byte changed reads or is refused, and never anything else', async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'good.safetensors');
  await writeSafetensors(file, [{ name: 'weight', shape: [2, 2], data: new Float32Array(4) }]);
  const good = await readFile(file);
  const target = join(folder, 'mutated.safetensors');
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), async (at, byte, length) => {
      const bytes = Buffer.from(good);
      bytes[at] = byte;
      await writeFile(target, bytes.subarray(0, byte % 3 === 0 ? length : good.length));
      try {
        const { tensors, fileSize } = await readSafetensorsHeader(target);
        return tensors.every(({ begin, end }) => begin >= 8 && end <= fileSize);
      } catch (error) {
        return error instanceof AlbertNerError && error.code === 'ERR_CHECKPOINT_UNREADABLE';
      }
    }),
    { numRuns: 400, seed: 9 },
  );
  t.pass();
});
