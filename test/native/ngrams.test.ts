import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { readSafetensorsHeader, writeSafetensors } from '../../albert/convert/safetensors.js';
import { AlbertNerError } from '../../lib/errors.js';
import { TagSet } from '../../lib/labels/scheme.js';
import { readEncoderFolder } from '../../lib/model/encoder-folder.js';
import { nativeEncoderConfig, nativeHeadConfig } from '../../lib/model/native-config.js';
import type { NativeBatch, NativeSession, NativeTensorFile } from '../../lib/native/binding.js';
import { packIds } from '../../lib/training/feature-sets.js';
import { addon } from '../support/native.js';
import { fixture, temporaryFolder } from '../support/paths.js';

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
  const path = join(await temporaryFolder(t), 'head.safetensors');
  await writeSafetensors(path, tensors);
  await session.loadHead(head, {
    path,
    tensors: (await readSafetensorsHeader(path)).tensors,
  } as NativeTensorFile);
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

test('keys out of order are refused', async (t) => {
  const session = newSession(t);
  const shape = { hiddenSize: 4, dropout: 0, tagSet: TAGS, ngramWidth: 3, ngramKeys: Int32Array.of(2, 1) };
  const error = await t.throwsAsync(session.initHead(nativeHeadConfig(shape, config), 1));
  t.true(error instanceof AlbertNerError);
  t.is((error as AlbertNerError).code, 'ERR_INVALID_ARGUMENT');
});
