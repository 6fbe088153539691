import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { AlbertNerError } from '../../lib/errors.js';
import { TagSet } from '../../lib/labels/scheme.js';
import { readEncoderFolder } from '../../lib/model/encoder-folder.js';
import { nativeEncoderConfig, nativeHeadConfig } from '../../lib/model/native-config.js';
import type { NativeBatch, NativeFitRequest, NativeSession } from '../../lib/native/binding.js';
import { createRandom } from '../../lib/random.js';
import { packIds } from '../../lib/training/feature-sets.js';
import { addon, writeTensors } from '../support/native.js';
import { fixture, temporaryFolder } from '../support/paths.js';
import { cosine } from '../support/vectors.js';

const WIDTH = 3;
const SLOTS = 5;
const { config, vocab, weights } = await readEncoderFolder(fixture('albert', 'google-gelu-new'));
const TAGS = new TagSet(['A'], 'BIO');

function newSession(t: ExecutionContext): NativeSession {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  return session;
}

const pack = (...sequences: number[][]): NativeBatch => packIds(sequences.map((ids) => Int32Array.from(ids)));

/** Occurrences of the pairs and triples of some sequences, each with one place before and after it and one more. */
function countNgrams(sequences: readonly number[][]): number[] {
  const counts = new Map<string, number>();
  for (const ids of sequences.filter(({ length }) => length > 0)) {
    const padded = ['<', '<', ...ids, '>', '>'];
    const pairs = padded.slice(1, -2).map((id, k) => `${id} ${padded[k + 2]}`);
    const triples = padded.slice(0, -2).map((id, k) => `${id} ${padded[k + 1]} ${padded[k + 2]}`);
    for (const ngram of [...pairs, ...triples].map((text) => text.replaceAll('>', '<'))) {
      counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
    }
  }
  return [...counts.values()];
}

test('as many n-grams have keys as occur often enough, in ascending order', async (t) => {
  const session = newSession(t);
  const ids = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(ids, { maxLength: 6 }),
      fc.integer({ min: 1, max: 4 }),
      async (sequences, minCount) => {
        const keys = await session.selectNgrams({ ...pack(...sequences), count: 1000, minCount });
        t.is(keys.length, countNgrams(sequences).filter((count) => count >= minCount).length);
        t.true(keys.every((key, k) => k === 0 || keys[k - 1] < key));
      },
    ),
    { numRuns: 60, seed: 1 },
  );
});

test('when there are too many n-grams the most frequent ones have the keys', async (t) => {
  const session = newSession(t);
  const frequent = await session.selectNgrams({ ...pack([7, 8]), count: 1000, minCount: 1 });
  const text = [[7, 8], [7, 8], ...Array.from({ length: 20 }, (_, k) => [k + 10, k + 40])];
  const chosen = await session.selectNgrams({ ...pack(...text), count: frequent.length, minCount: 1 });
  t.deepEqual(chosen, frequent);
});

/** A session whose head reads nothing but the n-grams of these keys. */
async function ngramSession(t: ExecutionContext, keys: Int32Array): Promise<NativeSession> {
  const session = newSession(t);
  await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
  const shape = { hiddenSize: 4, dropout: 0, tagSet: TAGS, ngramWidth: WIDTH, ngramKeys: keys };
  const head = nativeHeadConfig(shape, config);
  await session.initHead(head, 3);
  const tensors = await session.exportTensors('head');
  for (const {
    name,
    shape: [rows, width],
    data,
  } of tensors.filter(({ name }) => name.includes('weight_ih'))) {
    t.is(width, config.hiddenSize + SLOTS * WIDTH, name);
    for (let row = 0; row < rows; row += 1) data.fill(0, row * width, row * width + config.hiddenSize);
  }
  const table = tensors.at(-1);
  t.like(table, { name: 'ngrams.weight', shape: [keys.length + 1, WIDTH] });
  await session.loadHead(
    head,
    await writeTensors(join(await temporaryFolder(t), 'head.safetensors'), tensors),
  );
  return session;
}

test('the head tells units apart by the n-grams that have keys, and others not at all', async (t) => {
  const known = await newSession(t).selectNgrams({ ...pack([20, 21, 22]), count: 1000, minCount: 1 });
  const session = await ngramSession(t, known);
  const probability = async (...ids: number[]) => (await session.tag(pack(ids))).pathLogProbabilities[0];
  t.is(await probability(30, 31, 32, 33), await probability(40, 41, 42, 43));
  t.not(await probability(30, 20, 21, 33), await probability(30, 31, 32, 33));
  // A triple whose pairs are known, too.
  t.not(await probability(30, 20, 21, 22), await probability(30, 20, 21, 33));
});

test('a sequence has the same n-grams alone, in a batch and from the feature store', async (t) => {
  const sequences = [[20, 21, 22, 30, 20, 21], [22], [], [30, 20, 21, 22, 9, 20, 22]];
  const keys = await newSession(t).selectNgrams({ ...pack(...sequences), count: 1000, minCount: 1 });
  const session = await ngramSession(t, keys);
  const together = await session.tag(pack(...sequences));
  const alone = await Promise.all(sequences.map((ids) => session.tag(pack(ids))));
  const close = (actual: Float64Array, expected: number[]) =>
    actual.every((value, k) => Math.abs(value - expected[k]) < 1e-6);
  const expected = alone.map(({ pathLogProbabilities }) => pathLogProbabilities[0]);
  t.true(close(together.pathLogProbabilities, expected));
  const store = await session.createFeatureStore(join(await temporaryFolder(t), 'features.bin'));
  for (const ids of sequences) await session.appendFeatures(store, pack(ids));
  const order = [3, 0, 2, 1];
  const stored = await session.tagFeatures({ features: store, sequences: Int32Array.from(order) });
  t.true(
    close(
      stored.pathLogProbabilities,
      order.map((sequence) => expected[sequence]),
    ),
  );
  await session.closeFeatureStore(store);
});

/** Kinds of n-grams: what stands before and after them, and pairs that stand there. */
const PLACES = [
  {
    first: 10,
    last: 11,
    members: [
      [20, 21],
      [22, 23],
      [24, 25],
    ],
  },
  {
    first: 12,
    last: 13,
    members: [
      [30, 31],
      [32, 33],
      [34, 35],
    ],
  },
] as const;

/** Documents "first pair last first pair last …" of both kinds. */
function textOfKinds(seed: number): NativeFitRequest {
  const random = createRandom(seed);
  const documents = Array.from({ length: 300 }, () =>
    Array.from({ length: 10 }, () => {
      const { first, last, members } = PLACES[random.int(2)];
      return [first, ...members[random.int(members.length)], last];
    }).flat(),
  );
  return { ...pack(...documents), firstRate: 0.05, lastRate: 0.01, seed: 7, isLast: false };
}

/** The rows of the table for the pairs of each kind after these parts of a text. */
async function fittedPairs(t: ExecutionContext, parts: readonly NativeFitRequest[]): Promise<number[][][]> {
  const session = newSession(t);
  await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
  // The one n-gram that two places of a pair have in common.
  const keyOf = async (pair: readonly number[]) => {
    const select = (around: number) =>
      session.selectNgrams({ ...pack([around, ...pair, around]), count: 100, minCount: 1 });
    const there = new Set(await select(9));
    return (await select(8)).filter((key) => there.has(key));
  };
  const keys = await session.selectNgrams({ ...textOfKinds(1), count: 1000, minCount: 1 });
  const ngramWidth = 16;
  const shape = { hiddenSize: 4, dropout: 0, tagSet: TAGS, ngramWidth, ngramKeys: keys };
  await session.initHead(nativeHeadConfig(shape, config), 3);
  for (const part of parts) await session.fitNgrams(part);
  const table = (await session.exportTensors('head')).at(-1)?.data as Float32Array;
  t.true(parts.length === 0 || table.subarray(0, ngramWidth).every((value) => value === 0));
  return Promise.all(
    PLACES.map(({ members }) =>
      Promise.all(
        members.map(async (pair) => {
          const [key, ...more] = await keyOf(pair);
          t.deepEqual(more, []);
          const row = 1 + keys.indexOf(key);
          t.true(row > 0);
          return [...table.subarray(row * ngramWidth, (row + 1) * ngramWidth)];
        }),
      ),
    ),
  );
}

test('n-grams with equal neighbours get like vectors from a text, others do not', async (t) => {
  const [left, right] = await fittedPairs(t, [textOfKinds(1), textOfKinds(2)]);
  const inKind = [left, right].flatMap((kind) =>
    kind.flatMap((a, k) => kind.slice(k + 1).map((b) => cosine(a, b))),
  );
  const across = left.flatMap((a) => right.map((b) => cosine(a, b)));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  t.true(mean(inKind) > mean(across) + 0.5, `${mean(inKind)} and ${mean(across)}`);
});

test('the same text and seed give the same vectors of n-grams', async (t) => {
  const fitted = await fittedPairs(t, [textOfKinds(1)]);
  t.deepEqual(await fittedPairs(t, [textOfKinds(1)]), fitted);
  t.notDeepEqual(await fittedPairs(t, [{ ...textOfKinds(1), seed: 8 }]), fitted);
  t.notDeepEqual(await fittedPairs(t, []), fitted);
});

test('after the last part of a text the next one starts anew', async (t) => {
  const part = textOfKinds(1);
  const once = await fittedPairs(t, [part]);
  t.deepEqual(await fittedPairs(t, [{ ...textOfKinds(2), isLast: true }, part]), once);
  t.notDeepEqual(await fittedPairs(t, [textOfKinds(2), part]), once);
});

test('a head without n-grams has nothing to fit, and units outside the vocabulary are refused', async (t) => {
  const session = newSession(t);
  await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
  const shape = { hiddenSize: 4, dropout: 0, tagSet: TAGS };
  await session.initHead(nativeHeadConfig(shape, config), 1);
  await t.throwsAsync(session.fitNgrams(textOfKinds(1)), { message: /ngramWidth/ });
  const ngrams = { ngramWidth: 3, ngramKeys: Int32Array.of(1, 2) };
  await session.initHead(nativeHeadConfig({ ...shape, ...ngrams }, config), 1);
  const foreign = { ...textOfKinds(1), ...pack([1, config.vocabSize]) };
  await t.throwsAsync(session.fitNgrams(foreign), { message: /ids/ });
});

test('an n-gram that is dropped in training is one without a row', async (t) => {
  const sequences = [
    [20, 21, 22, 30, 20, 21],
    [22, 23],
  ];
  const session = newSession(t);
  await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
  const ngramKeys = await session.selectNgrams({ ...pack(...sequences), count: 1000, minCount: 1 });
  const changedRows = async (ngramDropout: number) => {
    const shape = { hiddenSize: 4, dropout: 0, tagSet: TAGS, ngramWidth: WIDTH, ngramKeys, ngramDropout };
    await session.initHead(nativeHeadConfig(shape, config), 3);
    const before = (await session.exportTensors('head')).at(-1)?.data as Float32Array;
    await session.initOptimizer('tagger', {
      ...{ kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, clipNorm: 0 },
      encoderLayers: config.layerCount,
    });
    await session.fineTuneStep({
      ...pack(...sequences),
      tags: Int32Array.from(sequences.flat(), () => 0),
      learningRates: { encoder: 0, bilstm: 0, ngrams: 0.01, classifier: 0, crf: 0 },
      encoderDropout: 0,
      seed: 5,
    });
    const after = (await session.exportTensors('head')).at(-1)?.data as Float32Array;
    const rows = Array.from({ length: ngramKeys.length + 1 }, (_, row) => row);
    return rows.filter((row) => after[row * WIDTH] !== before[row * WIDTH]);
  };
  const every = await changedRows(0);
  t.deepEqual(
    every,
    Array.from({ length: ngramKeys.length }, (_, row) => row + 1),
  );
  t.deepEqual(await changedRows(1 - 1e-9), [0]);
  const some = await changedRows(0.5);
  t.true(some.length > 2 && some.length <= ngramKeys.length, `${some}`);
});

test('keys out of order are refused', async (t) => {
  const session = newSession(t);
  const shape = { hiddenSize: 4, dropout: 0, tagSet: TAGS, ngramWidth: 3, ngramKeys: Int32Array.of(2, 1) };
  const error = await t.throwsAsync(session.initHead(nativeHeadConfig(shape, config), 1));
  t.true(error instanceof AlbertNerError);
  t.is((error as AlbertNerError).code, 'ERR_INVALID_ARGUMENT');
});
