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

async function newSession(t: ExecutionContext, config: EncoderConfig): Promise<NativeSession> {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  // The features are the first layer's: what a single round of attention brings to a row.
  const native = { ...nativeEncoderConfig(config, VOCAB), featureLayers: Int32Array.of(1) };
  await session.initEncoder(native, 1);
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

/** Smallest influence on rows at these distances, and the largest on those further than three. */
function nearAndFar(sums: readonly number[], distances: readonly number[]): { near: number; far: number } {
  const middle = LENGTH / 2;
  return {
    near: Math.min(...distances.map((distance) => sums[middle + distance])),
    far: Math.max(...sums.filter((_, row) => Math.abs(row - middle) > 3)),
  };
}

const SHAPES: [string, Partial<EncoderConfig>, number[]][] = [
  ['google, four heads', { headCount: 4 }, [-2, -1, 1, 2]],
  ['google, eight heads', { headCount: 8, hiddenSize: 192 }, [-3, -2, -1, 1, 2, 3]],
  ['bright, two heads', { headCount: 2, layout: 'bright' }, [-1, 1]],
  ['norms first', { headCount: 4, layerNormPlacement: 'pre' }, [-2, -1, 1, 2]],
];

for (const [name, shape, distances] of SHAPES) {
  test(`heads read the units beside each, others less: ${name}`, async (t) => {
    const config = { ...ENCODER, ...shape };
    const session = await newSession(t, config);
    const random = nearAndFar(await influence(session, config.hiddenSize), distances);
    t.true(random.near < 2 * random.far, JSON.stringify(random));
    await session.attendToNeighbours();
    const { near, far } = nearAndFar(await influence(session, config.hiddenSize), distances);
    t.true(near > 3 * far, JSON.stringify({ near, far }));
  });
}

test('words keep their length and leave room for places', async (t) => {
  const session = await newSession(t, ENCODER);
  const squares = async () => {
    const [words] = await session.exportTensors('encoder');
    return words.data.reduce((sum, value) => sum + value * value, 0);
  };
  const before = await squares();
  await session.attendToNeighbours();
  t.true(Math.abs((await squares()) / before - 1) < 0.05);
  const [words] = await session.exportTensors('encoder');
  t.true(words.data.subarray(64 - 8, 64).every((value) => value === 0));
});

test('shapes without room for a place are refused and change nothing', async (t) => {
  for (const shape of [{ embeddingSize: 2 }, { headCount: 64 }, { embeddingSize: 256 }]) {
    const session = await newSession(t, { ...ENCODER, ...shape });
    const before = await session.exportTensors('encoder');
    const error = await t.throwsAsync(session.attendToNeighbours());
    t.is((error as Error & { code?: string }).code, 'ERR_INVALID_ARGUMENT');
    t.deepEqual(await session.exportTensors('encoder'), before);
  }
});
