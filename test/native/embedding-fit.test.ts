import test, { type ExecutionContext } from 'ava';
import { nativeEncoderConfig } from '../../lib/model/native-config.js';
import type { NativeFitRequest } from '../../lib/native/binding.js';
import { createRandom } from '../../lib/random.js';
import { addon } from '../support/native.js';
import { buildVocab, TINY_ENCODER } from '../support/tiny-model.js';
import { cosine } from '../support/vectors.js';

const VOCAB = buildVocab(['']);
/** Ids that follow FIRST and precede LAST, two kinds of them. */
const KINDS = [
  { first: 10, last: 11, members: [20, 21, 22, 23] },
  { first: 12, last: 13, members: [30, 31, 32, 33] },
];

/** Documents "first member last first member last …" of both kinds. */
function text(seed: number): NativeFitRequest {
  const random = createRandom(seed);
  const documents = Array.from({ length: 300 }, () =>
    Array.from({ length: 12 }, () => {
      const { first, last, members } = KINDS[random.int(2)];
      return [first, members[random.int(members.length)], last];
    }).flat(),
  );
  const offsets = [0];
  for (const { length } of documents) offsets.push((offsets.at(-1) as number) + length);
  return {
    ids: Int32Array.from(documents.flat()),
    offsets: Int32Array.from(offsets),
    firstRate: 0.05,
    lastRate: 0.01,
    seed: 7,
    isLast: false,
  };
}

async function fitted(t: ExecutionContext, parts: readonly NativeFitRequest[]) {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  await session.initEncoder(nativeEncoderConfig({ ...TINY_ENCODER, vocabSize: VOCAB.size }, VOCAB), 1);
  for (const part of parts) await session.fitEmbeddings(part);
  const [table] = await session.exportTensors('encoder');
  const E = table.shape[1];
  return { table: table.data, vector: (id: number) => [...table.data.subarray(id * E, (id + 1) * E)] };
}

test('units of equal neighbours get like vectors, others do not', async (t) => {
  const { table, vector } = await fitted(t, [text(1), text(2), text(3)]);
  const mean = (pairs: readonly (readonly [number, number])[]) =>
    pairs.reduce((sum, [a, b]) => sum + cosine(vector(a), vector(b)), 0) / pairs.length;
  const [left, right] = KINDS.map(({ members }) => members);
  const same = [left, right].flatMap((kind) =>
    kind.flatMap((a) => kind.filter((b) => b > a).map((b) => [a, b] as const)),
  );
  const other = left.flatMap((a) => right.map((b) => [a, b] as const));
  t.true(mean(same) > mean(other) + 0.3, `${mean(same)} and ${mean(other)}`);
  const squares = table.reduce((sum, value) => sum + value * value, 0) / table.length;
  t.true(Math.abs(Math.sqrt(squares) / TINY_ENCODER.initializerRange - 1) < 0.1, `${Math.sqrt(squares)}`);
});

test('equal seeds give equal vectors', async (t) => {
  const [one, two] = [await fitted(t, [text(1)]), await fitted(t, [text(1)])];
  t.deepEqual(one.table, two.table);
  const other = await fitted(t, [{ ...text(1), seed: 8 }]);
  t.notDeepEqual(one.table, other.table);
});

test('after the last part of a text the next one starts anew', async (t) => {
  const once = await fitted(t, [text(1)]);
  const anew = await fitted(t, [{ ...text(2), isLast: true }, text(1)]);
  t.deepEqual(anew.table, once.table);
  const further = await fitted(t, [text(2), text(1)]);
  t.notDeepEqual(further.table, once.table);
});

test('a new encoder begins a new fit', async (t) => {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  const native = nativeEncoderConfig({ ...TINY_ENCODER, vocabSize: VOCAB.size }, VOCAB);
  for (const parts of [[text(2)], [text(1)]]) {
    await session.initEncoder(native, 1);
    for (const part of parts) await session.fitEmbeddings(part);
  }
  const [{ data }] = await session.exportTensors('encoder');
  t.deepEqual(data, (await fitted(t, [text(1)])).table);
});

test('ids outside the vocabulary are refused, empty text changes nothing but the start', async (t) => {
  const wrong = { ...text(1), ids: text(1).ids.fill(VOCAB.size) };
  const error = await t.throwsAsync(fitted(t, [wrong]));
  t.is((error as Error & { code?: string }).code, 'ERR_INVALID_ARGUMENT');
  const { table } = await fitted(t, [{ ...text(1), ids: new Int32Array(0), offsets: Int32Array.of(0) }]);
  t.true(table.every(Number.isFinite));
});
