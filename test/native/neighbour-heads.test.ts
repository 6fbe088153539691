import test, { type ExecutionContext } from 'ava';
import type { EncoderConfig } from '../../albert/encoder-config.js';
import { nativeEncoderConfig } from '../../lib/model/native-config.js';
import type { NativeSession } from '../../lib/native/binding.js';
import { addon } from '../support/native.js';
import { buildVocab, TINY_ENCODER } from '../support/tiny-model.js';

const VOCAB = buildVocab(['']);
const LENGTH = 60;
const ENCODER: EncoderConfig = {
  ...TINY_ENCODER,
  vocabSize: VOCAB.size,
  embeddingSize: 64,
  hiddenSize: 128,
  initializerRange: 0.05,
};

type Start = 'random' | 'neighbours';

async function newSession(t: ExecutionContext, config: EncoderConfig, start: Start): Promise<NativeSession> {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  // The features are the first layer's: what a single round of attention brings to a row.
  const native = { ...nativeEncoderConfig(config, VOCAB), featureLayers: Int32Array.of(1) };
  await session.initEncoder(native, 1, start);
  return session;
}

/** How far the rows at each distance move when a unit is another one: [distance + LENGTH / 2]. */
async function influence(session: NativeSession, width: number): Promise<number[]> {
  const middle = LENGTH / 2;
  const sums = new Array<number>(LENGTH).fill(0);
  for (let seed = 0; seed < 8; seed += 1) {
    const ids = Int32Array.from({ length: LENGTH }, (_, k) => 10 + ((k * 7 + seed * 13) % 80));
    const changed = ids.slice();
    changed[middle] = 10 + ((ids[middle] + 31) % 80);
    const offsets = Int32Array.of(0, LENGTH);
    const [before, after] = [
      await session.encode({ ids, offsets }),
      await session.encode({ ids: changed, offsets }),
    ];
    for (let row = 0; row < LENGTH; row += 1) {
      const distances = Array.from(
        { length: width },
        (_, k) => (before[row * width + k] - after[row * width + k]) ** 2,
      );
      sums[row] += Math.sqrt(distances.reduce((a, b) => a + b, 0));
    }
  }
  return sums;
}

/** Smallest influence on rows at these distances, and the largest on any other, the row itself aside. */
function nearAndFar(sums: readonly number[], distances: readonly number[]): { near: number; far: number } {
  const middle = LENGTH / 2;
  return {
    near: Math.min(...distances.map((distance) => sums[middle + distance])),
    far: Math.max(
      ...sums.filter((_, row) => row !== middle && !distances.some((distance) => row === middle + distance)),
    ),
  };
}

/** The rows that move, seen from the unit that changed: a head for -1 moves the row after it. */
const SHAPES: [string, Partial<EncoderConfig>, number[]][] = [
  ['one head', { headCount: 1 }, [1]],
  ['three heads', { headCount: 3, hiddenSize: 96 }, [-1, 1, 2]],
  ['four heads', { headCount: 4 }, [-2, -1, 1, 2]],
  ['eight heads', { headCount: 8, hiddenSize: 192 }, [-3, -2, -1, 1, 2, 3]],
  ['two heads, layout bright', { headCount: 2, layout: 'bright' }, [-1, 1]],
  ['four heads, norms first', { headCount: 4, layerNormPlacement: 'pre' }, [-2, -1, 1, 2]],
  ['the smallest heads', { headCount: 4, hiddenSize: 48, embeddingSize: 24 }, [-2, -1, 1, 2]],
];

for (const [name, shape, distances] of SHAPES) {
  test(`heads read the units beside each more than all others: ${name}`, async (t) => {
    const config = { ...ENCODER, ...shape };
    const measure = async (start: Start) =>
      nearAndFar(await influence(await newSession(t, config, start), config.hiddenSize), distances);
    const random = await measure('random');
    t.true(random.near < 1.5 * random.far, JSON.stringify(random));
    const { near, far } = await measure('neighbours');
    t.true(near > 2 * far, JSON.stringify({ near, far }));
  });
}

test('every group of layers starts so', async (t) => {
  const config = { ...ENCODER, layerCount: 3, groupCount: 3 };
  const tensors = async (start: Start) => (await newSession(t, config, start)).exportTensors('encoder');
  const [random, neighbours] = [await tensors('random'), await tensors('neighbours')];
  const changed = random.filter(({ data }, k) => data.some((value, j) => value !== neighbours[k].data[j]));
  const attention = changed.map(({ name }) => name).filter((name) => name.includes('attention.'));
  t.deepEqual(
    attention,
    [0, 1, 2].flatMap((group) =>
      ['query', 'key'].map(
        (part) => `encoder.albert_layer_groups.${group}.albert_layers.0.attention.${part}.weight`,
      ),
    ),
  );
});

test('words leave the last dimensions of the embeddings to places, also when they are fitted to text', async (t) => {
  const session = await newSession(t, ENCODER, 'neighbours');
  const E = ENCODER.embeddingSize;
  const P = 32;
  const parts = async () => {
    const [{ data }] = await session.exportTensors('encoder');
    return {
      words: data.filter((_, k) => k % E < E - P),
      places: data.filter((_, k) => k % E >= E - P),
    };
  };
  const before = await parts();
  t.true(before.places.every((value) => value === 0));
  const ids = Int32Array.from({ length: 400 }, (_, k) => 10 + (k % 7));
  const request = { ids, offsets: Int32Array.of(0, 400), firstRate: 0.05, lastRate: 0.01, seed: 1 };
  await session.fitEmbeddings({ ...request, isLast: true });
  const after = await parts();
  t.true(after.places.every((value) => value === 0));
  t.notDeepEqual(after.words, before.words);
});

test('shapes without room for places are refused by name and leave the encoder there was', async (t) => {
  const session = await newSession(t, ENCODER, 'random');
  const before = await session.exportTensors('encoder');
  for (const shape of [
    { embeddingSize: 20 },
    { headCount: 16 },
    { embeddingSize: 256 },
  ] as Partial<EncoderConfig>[]) {
    const native = nativeEncoderConfig({ ...ENCODER, ...shape }, VOCAB);
    const error = await t.throwsAsync(session.initEncoder(native, 1, 'neighbours'));
    t.is((error as Error & { code?: string }).code, 'ERR_INVALID_ARGUMENT');
    t.regex((error as Error).message, /Expected random, .* for attentionStart but received neighbours/);
  }
  t.deepEqual(await session.exportTensors('encoder'), before);
});
