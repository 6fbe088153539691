import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readEncoderFolder } from '../../lib/model/encoder-folder.js';
import { nativeEncoderConfig } from '../../lib/model/native-config.js';
import type {
  NativePretrainingBatch,
  NativePretrainingScores,
  NativeSession,
  NativeTensorFile,
} from '../../lib/native/binding.js';
import { addon } from '../support/native.js';
import { fixture } from '../support/paths.js';

const FOLDER = fixture('albert', 'pretraining');

interface Golden {
  batch: NativePretrainingBatch;
  maskedLoss: number;
  orderLoss: number;
  gradientNorm: number;
}

async function readGolden(): Promise<Golden> {
  const { maskedLoss, orderLoss, gradientNorm, ...arrays } = JSON.parse(
    await readFile(join(FOLDER, 'expected.json'), 'utf8'),
  ) as Record<string, never>;
  const batch = Object.fromEntries(
    Object.entries(arrays).map(([name, values]) => [name, Int32Array.from(values as number[])]),
  ) as unknown as NativePretrainingBatch;
  return { batch, maskedLoss, orderLoss, gradientNorm };
}

async function goldenSession(t: ExecutionContext): Promise<NativeSession> {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  const { config, vocab, weights } = await readEncoderFolder(FOLDER);
  await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
  await session.loadPretraining((await readEncoderFolder(FOLDER)).pretrainingWeights as NativeTensorFile);
  await session.initOptimizer('pretraining', {
    kind: 'adamw',
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-6,
    weightDecay: 0.01,
    clipNorm: 0,
  });
  return session;
}

const close = (actual: number, expected: number) => Math.abs(actual / expected - 1) < 1e-5;

test('both losses and the gradient are those of transformers', async (t) => {
  const session = await goldenSession(t);
  const { batch, maskedLoss, orderLoss, gradientNorm } = await readGolden();
  const scores = await session.pretrainScores(batch);
  t.true(close(scores.maskedLoss, maskedLoss), `${scores.maskedLoss}`);
  t.true(close(scores.orderLoss, orderLoss), `${scores.orderLoss}`);
  t.deepEqual([scores.maskedCount, scores.orderCount, scores.gradientNorm], [5, 2, 0]);
  const step = await session.pretrainStep({ batches: [batch], learningRate: 0.001 });
  t.true(close(step.gradientNorm, gradientNorm), `${step.gradientNorm}`);
});

test('steps lower the loss until the masked units and the orders are known', async (t) => {
  const session = await goldenSession(t);
  const { batch } = await readGolden();
  let scores = await session.pretrainStep({ batches: [batch], learningRate: 0.003 });
  for (let k = 1; k < 150; k += 1) {
    scores = await session.pretrainStep({ batches: [batch], learningRate: 0.003 });
  }
  t.deepEqual([scores.maskedCorrect, scores.orderCorrect], [5, 2]);
  t.true(scores.maskedLoss < 0.1);
});

/** Rows [from, to) of sequences [first, last) as a batch of their own. */
function part(batch: NativePretrainingBatch, first: number, last: number): NativePretrainingBatch {
  const rowOf = (sequence: number) =>
    batch.lengths.subarray(0, sequence).reduce((sum, length) => sum + length, 0);
  const [from, to] = [rowOf(first), rowOf(last)];
  const chosen = [...batch.maskedRows.keys()].filter(
    (k) => batch.maskedRows[k] >= from && batch.maskedRows[k] < to,
  );
  return {
    ids: batch.ids.slice(from, to),
    types: batch.types.slice(from, to),
    lengths: batch.lengths.slice(first, last),
    maskedRows: Int32Array.from(chosen, (k) => batch.maskedRows[k] - from),
    maskedIds: Int32Array.from(chosen, (k) => batch.maskedIds[k]),
    orderLabels: batch.orderLabels.slice(first, last),
  };
}

test('a step on several batches is the step on all of them together', async (t) => {
  const { batch } = await readGolden();
  const results: { scores: NativePretrainingScores; weights: number[] }[] = [];
  for (const batches of [[batch], [part(batch, 0, 1), part(batch, 1, 3)]]) {
    const session = await goldenSession(t);
    const scores = await session.pretrainStep({ batches, learningRate: 0.01 });
    const tensors = await session.exportTensors('encoder');
    results.push({ scores, weights: tensors.flatMap(({ data }) => [...data]) });
  }
  const [whole, parts] = results;
  t.true(close(parts.scores.gradientNorm, whole.scores.gradientNorm));
  t.is(parts.scores.maskedCount, whole.scores.maskedCount);
  // Adam's first step is the gradient's sign: rounding shows where a gradient is almost 0.
  const far = whole.weights.filter((value, k) => Math.abs(value - parts.weights[k]) > 1e-4).length;
  t.true(far / whole.weights.length < 0.01, `${far} of ${whole.weights.length}`);
});

test('arguments that do not fit are refused and change nothing', async (t) => {
  const session = await goldenSession(t);
  const { batch } = await readGolden();
  const before = await session.exportTensors('encoder');
  const wrong: Partial<NativePretrainingBatch>[] = [
    { ids: Int32Array.from(batch.ids, () => 1000) },
    { types: Int32Array.from(batch.types, () => 2) },
    { lengths: Int32Array.of(3, 4) },
    { lengths: Int32Array.of(batch.ids.length), orderLabels: Int32Array.of(0, 1) },
    { maskedRows: Int32Array.from(batch.maskedRows, () => -1) },
    { maskedIds: Int32Array.of(1) },
    { orderLabels: Int32Array.from(batch.orderLabels, () => 2) },
    { maskedRows: new Int32Array(0), maskedIds: new Int32Array(0) },
  ];
  for (const change of wrong) {
    const request = { batches: [{ ...batch, ...change }], learningRate: 0.1 };
    const error = await t.throwsAsync(session.pretrainStep(request), undefined, JSON.stringify(change));
    t.is((error as Error & { code?: string }).code, 'ERR_INVALID_ARGUMENT');
  }
  t.deepEqual(await session.exportTensors('encoder'), before);
});
