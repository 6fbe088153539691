// Sessions whose encoder and head run on another device than the CPU, beside sessions of the CPU: on the stand-in of
// stand-in.cpp wherever there is a compiler, and on CUDA where there is a GPU.

import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { TagSet } from '../../../lib/labels/scheme.js';
import { readEncoderFolder } from '../../../lib/model/encoder-folder.js';
import { type HeadShape, nativeEncoderConfig, nativeHeadConfig } from '../../../lib/model/native-config.js';
import type { NativeSession, NativeTensor } from '../../../lib/native/binding.js';
import { packIds } from '../../../lib/training/feature-sets.js';
import { compilerIsThere } from '../../support/cuda-emulator.js';
import { loadEmulatedOps, takeWaits } from '../../support/emulated-ops.js';
import { ADAMW, addon, largestDifference, writeTensors } from '../../support/native.js';
import { fixture, temporaryFolder } from '../../support/paths.js';
import { unavailable } from '../../support/unavailable.js';

const { config, vocab, weights } = await readEncoderFolder(fixture('albert', 'google-gelu-new'));
const TAGS = new TagSet(['A', 'B'], 'BIO');
const SEQUENCES = [[7, 12, 9, 30, 55, 8], [41], [], [10, 11, 12], [59, 58, 57, 1, 5, 6]];
const BATCH = packIds(SEQUENCES.map((ids) => Int32Array.from(ids)));
const GOLD = Int32Array.from([1, 2, 0, 3, 4, 4, 0, 0, 1, 0, 3, 3, 4, 0, 1, 2]);
/** Of sums of float32, in another order. */
const TOLERANCE = 2e-5;

const RATES = { encoder: 1e-3, bilstm: 0.02, ngrams: 0.02, classifier: 0.02, crf: 0.02 };

/** A test on each device there is; one that isn't says so. One after the other: the device's waits are counted. */
function onDevices(title: string, body: (t: ExecutionContext, device: string) => Promise<void>): void {
  test.serial(`${title}, on the stand-in`, async (t) => {
    if (!compilerIsThere(t)) return;
    await loadEmulatedOps();
    await body(t, 'stand_in');
  });
  test.serial(`${title}, on CUDA`, async (t) => {
    const reason = addon.cudaUnavailableReason();
    if (reason !== null) return unavailable(t, reason);
    await body(t, 'cuda');
  });
}

type Shape = Partial<HeadShape>;

/** A session with the golden encoder and a random head. */
async function sessionOn(t: ExecutionContext, device: string, shape: Shape = {}): Promise<NativeSession> {
  const session = new addon.Session({ device, threads: 1 });
  t.teardown(() => session.dispose());
  await session.loadEncoder(nativeEncoderConfig(config, vocab, shape.layer), weights);
  await session.initHead(headConfig(shape), 5);
  return session;
}

const headConfig = (shape: Shape) =>
  nativeHeadConfig({ hiddenSize: 6, dropout: 0, tagSet: TAGS, ...shape }, config);

/** The largest difference of any value, of tensors of the same names. */
function difference(actual: NativeTensor[], expected: NativeTensor[]): number {
  return Math.max(
    ...expected.map(({ name, data }, k) => {
      if (actual[k].name !== name) throw new Error(`${actual[k].name} instead of ${name}`);
      return largestDifference(actual[k].data, data);
    }),
  );
}

/** Trains a head on stored features. */
async function headTrainer(t: ExecutionContext, session: NativeSession, openTags?: Uint8Array) {
  const store = await session.createFeatureStore(join(await temporaryFolder(t), 'features.bin'));
  await session.appendFeatures(store, BATCH);
  // Adam divides by the gradient's size: where that is next to nothing, so is what rounding leaves of it. A feature that
  // rounds to the next float16 on a device must not move such a weight.
  await session.initOptimizer('head', { ...ADAMW, epsilon: 1e-3 });
  return (seed: number, tags = GOLD) =>
    session.trainStep({
      features: store,
      sequences: Int32Array.from(SEQUENCES.keys()),
      tags,
      ...(openTags && { openTags }),
      learningRates: RATES,
      seed,
    });
}

/** The head's shapes and annotations that take different ways through a step. */
async function variants(
  t: ExecutionContext,
): Promise<Record<string, { shape: Shape; openTags?: Uint8Array }>> {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  const ngramKeys = await session.selectNgrams({ ...BATCH, count: 20, minCount: 1 });
  const openTags = Uint8Array.from({ length: SEQUENCES.length * TAGS.size }, (_, k) => (k % 3 === 0 ? 1 : 0));
  return {
    // The CPU's fused step draws masks of its own, so this one goes without.
    plain: { shape: {} },
    'in registers': { shape: { hiddenSize: 64 } },
    'n-grams and dropout': { shape: { dropout: 0.3, ngramWidth: 3, ngramKeys } },
    'mixed layers and dropout': { shape: { dropout: 0.3, layer: 'mix' } },
    'partial annotation and dropout': { shape: { dropout: 0.3 }, openTags },
  };
}

onDevices('a head has the weights and tags like one on the CPU', async (t, device) => {
  const windows = { ...BATCH, keep: Int32Array.from([0, 5, 0, 1, 0, 0, 1, 2, 0, 6]) };
  for (const [name, { shape }] of Object.entries(await variants(t))) {
    const expected = await sessionOn(t, 'cpu', shape);
    const actual = await sessionOn(t, device, shape);
    t.deepEqual(await actual.exportTensors('head'), await expected.exportTensors('head'), name);
    for (const request of [BATCH, windows]) {
      const [wanted, got] = [await expected.tag(request), await actual.tag(request)];
      t.deepEqual(got.tags, wanted.tags, name);
      t.deepEqual(got.spans, wanted.spans, name);
      t.true(largestDifference(got.spanScores, wanted.spanScores) < TOLERANCE, name);
      t.true(largestDifference(got.pathLogProbabilities, wanted.pathLogProbabilities) < TOLERANCE, name);
    }
  }
});

onDevices('training steps are those of the CPU, and wait for the device once each', async (t, device) => {
  for (const [name, { shape, openTags }] of Object.entries(await variants(t))) {
    const sessions = [await sessionOn(t, 'cpu', shape), await sessionOn(t, device, shape)];
    const steps = [];
    for (const session of sessions) steps.push(await headTrainer(t, session, openTags));
    for (let seed = 0; seed < 3; seed += 1) {
      const expected = await steps[0](seed);
      takeWaits();
      const actual = await steps[1](seed);
      if (device === 'stand_in') t.is(takeWaits(), 1, name);
      t.true(Math.abs(actual.loss - expected.loss) < TOLERANCE, name);
      t.true(Math.abs(actual.gradientNorm - expected.gradientNorm) < TOLERANCE, name);
    }
    const [expected, actual] = await Promise.all(sessions.map((session) => session.exportTensors('head')));
    t.true(difference(actual, expected) < 10 * TOLERANCE, `${name}: ${difference(actual, expected)}`);
  }
});

onDevices('fine-tuning steps are those of the CPU, and wait for the device once each', async (t, device) => {
  const results = [];
  for (const place of ['cpu', device]) {
    const session = await sessionOn(t, place, { dropout: 0.2 });
    await session.initOptimizer('tagger', { ...ADAMW, encoderLayers: config.layerCount });
    for (let seed = 0; seed < 2; seed += 1) {
      takeWaits();
      const request = { ...BATCH, tags: GOLD, learningRates: RATES, encoderDropout: 0.1, seed };
      results.push(await session.fineTuneStep(request));
      if (place === 'stand_in') t.is(takeWaits(), 1);
    }
  }
  const [first, second, firstThere, secondThere] = results;
  t.true(Math.abs(firstThere.loss - first.loss) < TOLERANCE);
  t.true(Math.abs(firstThere.gradientNorm - first.gradientNorm) < 10 * TOLERANCE);
  t.true(Math.abs(secondThere.loss - second.loss) < 100 * TOLERANCE);
});

onDevices('exported weights, their mean and optimizer continue to the same bits', async (t, device) => {
  const shape = { dropout: 0.3 };
  const one = await sessionOn(t, device, shape);
  const step = await headTrainer(t, one);
  for (let seed = 0; seed < 2; seed += 1) {
    await step(seed);
    await one.averageWeights();
  }
  const folder = await temporaryFolder(t);
  const save = async (part: 'head' | 'optimizer' | 'average') =>
    writeTensors(join(folder, `${part}.safetensors`), await one.exportTensors(part));
  const [head, optimizer, average] = [await save('head'), await save('optimizer'), await save('average')];
  const other = await sessionOn(t, device, shape);
  await other.loadHead(headConfig(shape), head);
  const otherStep = await headTrainer(t, other);
  await other.loadOptimizer(optimizer);
  await other.loadAverage(average);
  for (let seed = 2; seed < 4; seed += 1) t.deepEqual(await otherStep(seed), await step(seed));
  for (const session of [one, other]) {
    await session.averageWeights();
    await session.useAverage(true);
  }
  t.deepEqual(await other.exportTensors('head'), await one.exportTensors('head'));
  for (const session of [one, other]) await session.useAverage(false);
  t.deepEqual(await other.exportTensors('head'), await one.exportTensors('head'));
});

onDevices(
  'tags out of range, and tags that no path has, are refused and change nothing',
  async (t, device) => {
    const session = await sessionOn(t, device);
    const step = await headTrainer(t, session);
    await step(0);
    const before = await session.exportTensors('head');
    for (const wrong of [TAGS.size, -1, 2]) {
      const tags = GOLD.slice();
      tags[0] = wrong; // 2 continues an entity, which no sentence starts with
      await t.throwsAsync(step(1, tags), { code: 'ERR_INVALID_ARGUMENT' });
    }
    t.deepEqual(await session.exportTensors('head'), before);
    await t.notThrowsAsync(step(1));
  },
);

onDevices('weights that are not finite are refused when they are used', async (t, device) => {
  const session = await sessionOn(t, device);
  const tensors = await session.exportTensors('head');
  for (const { name, data } of tensors) if (name === 'classifier.bias') data.fill(3e38);
  for (const { name, data } of tensors) if (name === 'classifier.weight') data.fill(3e38);
  const file = await writeTensors(join(await temporaryFolder(t), 'head.safetensors'), tensors);
  await session.loadHead(headConfig({}), file);
  await t.throwsAsync(session.tag(BATCH), { code: 'ERR_INVALID_ARGUMENT' });
});
