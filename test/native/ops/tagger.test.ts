import test from 'ava';
import type { NativeOpTensor } from '../../../lib/native/binding.js';
import { addon, codeOf, float16, largestDifference, numbers } from '../../support/native.js';
import {
  batchTensors,
  headTensors,
  randomTagger,
  single,
  type TaggerProblem,
  type TaggerStep,
  taggerLoss,
} from '../../support/tagger-problem.js';

/** The same through the separate operators and their gradients. */
function composed(problem: TaggerProblem): TaggerStep {
  const [features, offsets, tags] = batchTensors(problem);
  const head = headTensors(problem);
  const N = problem.tags.length;
  const lstm = [features, offsets, ...head.slice(0, 8)];
  const [hidden] = addon._callOp('albert_ner::bilstm', lstm).outputs;
  const linear = [hidden, head[8], head[9]];
  const [emissions] = addon._callOp('aten::linear', linear).outputs;
  const weights = single(
    [problem.lengths.length],
    problem.lengths.map(() => 1 / N),
  );
  const crf = addon._callOp('albert_ner::crf_nll', [emissions, tags, offsets, ...head.slice(10)], [weights]);
  const [dEmissions, ...dMoves] = crf.gradients;
  const dLinear = addon._callOp('aten::linear', linear, [dEmissions]).gradients;
  const dLstm = addon._callOp('albert_ner::bilstm', lstm, [dLinear[0]]).gradients;
  return {
    loss: numbers(crf.outputs[0]).reduce((sum, value) => sum + value, 0) / N,
    gradients: [...dLstm.slice(1), ...dLinear.slice(1), ...dMoves].map(numbers),
    featuresGradient: numbers(dLstm[0]),
  };
}

function descend(problem: TaggerProblem, { gradients }: TaggerStep, rate: number): TaggerProblem {
  const head = problem.head.map((values, index) =>
    values.map((value, k) => Math.fround(value - rate * gradients[index][k])),
  );
  return { ...problem, head };
}

/** libtorch's number of the dtype. */
const FLOAT32 = 6;

const RAGGED = [7, 0, 1, 23, 2, 9, 40];

test('loss and gradients are those of the separate operators', (t) => {
  for (const sizes of [
    [12, 8, 5],
    [40, 64, 9],
    [3, 1, 2],
    [300, 33, 23],
  ] as [number, number, number][]) {
    const problem = randomTagger(sizes[0], RAGGED, sizes);
    const ours = taggerLoss(problem, { featuresGrad: true });
    const theirs = composed(problem);
    t.true(Math.abs(ours.loss - theirs.loss) < 1e-5);
    t.true(largestDifference(ours.featuresGradient as number[], theirs.featuresGradient as number[]) < 1e-5);
    ours.gradients.forEach((gradient, index) => {
      t.true(largestDifference(gradient, theirs.gradients[index]) < 1e-5, `${sizes} ${index}`);
    });
  }
});

test('100 steps give the losses of 100 steps through the separate operators', (t) => {
  let ours = randomTagger(3, RAGGED, [12, 8, 5]);
  let theirs = ours;
  let [first, last] = [0, 0];
  for (let step = 0; step < 100; step += 1) {
    const a = taggerLoss(ours);
    const b = composed(theirs);
    t.true(Math.abs(a.loss - b.loss) < 1e-4, `step ${step}: ${a.loss} and ${b.loss}`);
    if (step === 0) first = a.loss;
    last = a.loss;
    ours = descend(ours, a, 0.5);
    theirs = descend(theirs, b, 0.5);
  }
  t.true(last < first / 2);
});

test('float16 rows give what their float32 values give, to the bit', (t) => {
  const problem = randomTagger(8, RAGGED, [13, 8, 5]);
  // Subnormal halves, the largest, and both zeros.
  problem.features.splice(0, 6, 2 ** -24, -3 * 2 ** -24, 65504, -65504, 0, -0);
  const shape = [problem.tags.length, problem.D];
  // One feature of every row: its weights' gradients are made of subnormal halves alone.
  for (let row = 0; row < shape[0]; row += 1) problem.features[row * problem.D + 6] = (row + 1) * 2 ** -24;
  const halves = float16(shape, Float32Array.from(problem.features));
  const [wide] = addon._callOp('aten::to.dtype', [halves, FLOAT32, false, false, null]).outputs;
  t.deepEqual(numbers(wide).slice(0, 6), problem.features.slice(0, 6));
  for (const dropout of [0, 0.3]) {
    const options = { dropout, featuresGrad: true };
    t.deepEqual(
      taggerLoss(problem, { ...options, features: halves }),
      taggerLoss(problem, { ...options, features: wide }),
    );
  }
});

test('every finite float16 number is read as what it is', (t) => {
  const finite = Array.from({ length: 2 ** 16 }, (_, bits) => bits).filter(
    (bits) => (bits & 0x7c00) !== 0x7c00,
  );
  // One row, whose gates don't depend on it: the gradient of a weight is its number times that of the gate.
  const problem = randomTagger(9, [1], [finite.length, 1, 2]);
  for (const direction of [0, 4]) problem.head[direction].fill(0);
  const halves: NativeOpTensor = {
    dtype: 'float16',
    shape: [1, finite.length],
    data: Uint16Array.from(finite),
  };
  const [wide] = addon._callOp('aten::to.dtype', [halves, FLOAT32, false, false, null]).outputs;
  t.deepEqual(taggerLoss(problem, { features: halves }), taggerLoss(problem, { features: wide }));
});

test('no gradient of the features is made when none is wanted, and nothing else changes', (t) => {
  const problem = randomTagger(4, RAGGED, [12, 8, 5]);
  const without = taggerLoss(problem);
  const { featuresGradient, ...rest } = taggerLoss(problem, { featuresGrad: true });
  t.is(without.featuresGradient, undefined);
  t.is(featuresGradient?.length, problem.features.length);
  t.deepEqual([without.loss, without.gradients], [rest.loss, rest.gradients]);
});

test('a seed decides what dropout drops, and gradients are those of the loss it gave', (t) => {
  const problem = randomTagger(5, [9, 4], [6, 8, 3]);
  const { loss, gradients, featuresGradient } = taggerLoss(problem, {
    dropout: 0.4,
    seed: 7,
    featuresGrad: true,
  });
  t.is(taggerLoss(problem, { dropout: 0.4, seed: 7 }).loss, loss);
  t.not(taggerLoss(problem, { dropout: 0.4, seed: 8 }).loss, loss);
  const lossAt = (change: Partial<TaggerProblem>) =>
    taggerLoss({ ...problem, ...change }, { dropout: 0.4, seed: 7 }).loss;
  const h = 1e-2;
  const slope = (values: number[], k: number, rebuild: (moved: number[]) => Partial<TaggerProblem>) => {
    const moved = (by: number) => rebuild(values.map((value, other) => (other === k ? value + by : value)));
    return (lossAt(moved(h)) - lossAt(moved(-h))) / (2 * h);
  };
  let dropped = 0;
  problem.features.forEach((_, k) => {
    const expected = slope(problem.features, k, (features) => ({ features }));
    const actual = (featuresGradient as number[])[k];
    t.true(Math.abs(actual - expected) < 1e-3, `feature ${k}: ${actual} and ${expected}`);
    if (actual === 0) dropped += 1;
  });
  // 78 features, each dropped with probability 0.4.
  t.true(dropped > 15 && dropped < 50, String(dropped));
  problem.head[8].forEach((_, k) => {
    const rebuild = (values: number[]) => ({
      head: problem.head.map((other, index) => (index === 8 ? values : other)),
    });
    t.true(Math.abs(gradients[8][k] - slope(problem.head[8], k, rebuild)) < 1e-3);
  });
});

test('forbidden moves have gradient 0, and tags that use one give an infinite loss', (t) => {
  const problem = randomTagger(6, [5, 3], [6, 8, 3]);
  problem.tags = problem.tags.map((_, row) => row % 2);
  problem.head[10][2] = Number.NEGATIVE_INFINITY;
  const { loss, gradients } = taggerLoss(problem);
  t.true(Number.isFinite(loss));
  t.is(gradients[10][2], 0);
  t.is(
    taggerLoss({ ...problem, tags: problem.tags.map((tag) => (tag === 1 ? 2 : 0)) }).loss,
    Number.POSITIVE_INFINITY,
  );
});

test('arguments that disagree are refused', (t) => {
  const problem = randomTagger(7, [2, 3], [6, 8, 3]);
  const refused = (changed: TaggerProblem, dropout = 0) =>
    t.is(
      codeOf(() => taggerLoss(changed, { dropout })),
      'ERR_INVALID_ARGUMENT',
    );
  refused({ ...problem, tags: [0, 1, 2, 3, 0] });
  refused({ ...problem, lengths: [2, 2] });
  refused({ ...problem, shapes: problem.shapes.slice(0, 12) });
  refused(problem, 1);
  refused({ ...problem, shapes: problem.shapes.with(9, [1, 3]) });
  refused(randomTagger(7, [0, 0], [6, 8, 3]));
});
