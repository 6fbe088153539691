import test from 'ava';
import type { NativeOpTensor } from '../../../lib/native/binding.js';
import { offsetsOf, seeded } from '../../support/crf-reference.js';
import {
  type LstmProblem,
  lstm,
  lstmArgs,
  mirroredLstm,
  mirroredRows,
  randomLstm,
} from '../../support/lstm-problem.js';
import {
  addon,
  codeOf,
  type Dtype,
  int32,
  int64,
  largestDifference,
  normals,
  numbers,
  tensor,
} from '../../support/native.js';

/** torch's own LSTM on the packed sequence: rows time-major, longest sentence first. Returns to our row order. */
function torchLstm(problem: LstmProblem, dtype: Dtype, gradOutput: number[]) {
  const { lengths, D, H, features, weights } = problem;
  const offsets = offsetsOf(lengths);
  const sentences = lengths.map((length, b) => ({ length, b })).filter(({ length }) => length > 0);
  sentences.sort((a, c) => c.length - a.length);
  const rows: number[] = [];
  const batchSizes: number[] = [];
  for (let step = 0; step < sentences[0].length; step += 1) {
    const running = sentences.filter(({ length }) => length > step);
    batchSizes.push(running.length);
    for (const { b } of running) rows.push(offsets[b] + step);
  }
  const gather = (values: number[], width: number) =>
    rows.flatMap((row) => values.slice(row * width, (row + 1) * width));
  const scatter = (values: number[], width: number) => {
    const out = new Array<number>(values.length);
    rows.forEach((row, k) => {
      for (let d = 0; d < width; d += 1) out[row * width + d] = values[k * width + d];
    });
    return out;
  };
  const N = rows.length;
  const zero = () =>
    tensor([2, sentences.length, H], new Array<number>(2 * sentences.length * H).fill(0), dtype);
  const { outputs, gradients } = addon._callOp(
    'aten::lstm.data',
    [
      tensor([N, D], gather(features, D), dtype),
      int64(batchSizes),
      [zero(), zero()],
      weights.map(({ shape, values }) => tensor(shape, values, dtype)),
      true,
      1,
      0,
      true,
      true,
    ],
    [tensor([N, 2 * H], gather(gradOutput, 2 * H), dtype), null, null],
  );
  const [dFeatures, , , ...dWeights] = gradients.map(numbers);
  return { output: scatter(numbers(outputs[0]), 2 * H), gradients: [scatter(dFeatures, D), ...dWeights] };
}

const RAGGED = [5, 0, 17, 1, 1, 30, 8, 0, 30];

test('outputs and gradients equal those of torch on the packed sequence', (t) => {
  for (const [D, H] of [
    [12, 8],
    [3, 1],
    [40, 64],
  ]) {
    const problem = randomLstm(D + H, RAGGED, D, H);
    const rows = problem.features.length / D;
    const gradOutput = normals(seeded(99), rows * 2 * H);
    const ours = lstm(problem, 'float32', gradOutput);
    const theirs = torchLstm(problem, 'float32', gradOutput);
    t.true(largestDifference(ours.output, theirs.output) < 1e-5);
    ours.gradients.forEach((gradient, index) => {
      const scale = Math.max(1, ...theirs.gradients[index].map(Math.abs));
      const difference = largestDifference(gradient, theirs.gradients[index]);
      t.true(difference / scale < 1e-4, `gradient ${index}: ${difference}`);
    });
  }
});

test('gradients equal central differences in float64', (t) => {
  const problem = randomLstm(5, [3, 0, 1, 4], 3, 2);
  const N = 8;
  const gradOutput = normals(seeded(6), N * 4);
  const loss = (changed: LstmProblem) =>
    lstm(changed).output.reduce((sum, value, k) => sum + value * gradOutput[k], 0);
  const { gradients } = lstm(problem, 'float64', gradOutput);
  const h = 1e-6;
  const check = (
    values: number[],
    rebuild: (changed: number[]) => LstmProblem,
    actual: number[],
    name: string,
  ) => {
    const moved = (k: number, by: number) => values.map((value, other) => (other === k ? value + by : value));
    const expected = values.map(
      (_, k) => (loss(rebuild(moved(k, h))) - loss(rebuild(moved(k, -h)))) / (2 * h),
    );
    t.true(largestDifference(actual, expected) < 1e-7, name);
  };
  check(problem.features, (features) => ({ ...problem, features }), gradients[0], 'features');
  problem.weights.forEach(({ values }, index) => {
    const rebuild = (changed: number[]) => ({
      ...problem,
      weights: problem.weights.map((weight, other) =>
        other === index ? { ...weight, values: changed } : weight,
      ),
    });
    check(values, rebuild, gradients[index + 1], `weight ${index}`);
  });
});

test('a batch gives what its sentences give alone', (t) => {
  const problem = randomLstm(7, RAGGED, 6, 5);
  const { output } = lstm(problem);
  const offsets = offsetsOf(RAGGED);
  RAGGED.forEach((length, b) => {
    const alone = {
      ...problem,
      lengths: [length],
      features: problem.features.slice(offsets[b] * 6, offsets[b + 1] * 6),
    };
    const expected = lstm(alone).output;
    t.true(largestDifference(output.slice(offsets[b] * 10, offsets[b + 1] * 10), expected) < 1e-12);
  });
});

test('a reversed sentence with swapped directions gives the reversed output with swapped halves', (t) => {
  const H = 4;
  const problem = randomLstm(8, [9], 5, H);
  const expected = mirroredRows(problem.lengths, lstm(mirroredLstm(problem)).output, [H, H]);
  t.true(largestDifference(lstm(problem).output, expected) < 1e-12);
});

test('no batch, no row and only empty sentences are fine', (t) => {
  for (const lengths of [[], [0], [0, 0]]) {
    const problem = randomLstm(9, lengths, 3, 2);
    const { output, gradients } = lstm(problem, 'float64', []);
    t.deepEqual(output, []);
    t.true(gradients.flat().every((value) => value === 0));
  }
});

/** One direction over one sentence, a unit at a time. Returns [T*H]. */
function plainLstm(rows: number[][], weights: number[][], H: number): number[] {
  const [w_ih, w_hh, b_ih, b_hh] = weights;
  const logistic = (x: number) => 1 / (1 + Math.exp(-x));
  const dot = (matrix: number[], row: number, vector: number[]) =>
    vector.reduce((sum, value, k) => sum + matrix[row * vector.length + k] * value, 0);
  let h = new Array<number>(H).fill(0);
  let c = [...h];
  return rows.flatMap((x) => {
    const gates = b_ih.map((bias, row) => bias + b_hh[row] + dot(w_ih, row, x) + dot(w_hh, row, h));
    const [i, f, g, o] = [0, 1, 2, 3].map((gate) => gates.slice(gate * H, (gate + 1) * H));
    c = c.map((before, u) => logistic(f[u]) * before + logistic(i[u]) * Math.tanh(g[u]));
    h = c.map((cell, u) => logistic(o[u]) * Math.tanh(cell));
    return h;
  });
}

test('a sentence of 5,000 units equals the plain recursion in both directions', (t) => {
  const [T, D, H] = [5000, 4, 6];
  const problem = randomLstm(10, [T], D, H);
  const rows = Array.from({ length: T }, (_, row) => problem.features.slice(row * D, (row + 1) * D));
  const values = problem.weights.map((weight) => weight.values);
  const forward = plainLstm(rows, values.slice(0, 4), H);
  const reverse = plainLstm(rows.toReversed(), values.slice(4), H);
  const expected = rows.flatMap((_, row) => [
    ...forward.slice(row * H, (row + 1) * H),
    ...reverse.slice((T - 1 - row) * H, (T - row) * H),
  ]);
  t.true(largestDifference(lstm(problem).output, expected) < 1e-10);
  t.true(largestDifference(lstm(problem, 'float32').output, expected) < 1e-4);
});

test('nothing is saved without gradients, and none is made for features that need none', (t) => {
  const problem = randomLstm(13, [3, 2], 4, 3);
  const arguments_ = lstmArgs(problem, 'float64');
  const [, gates, cells] = addon._callOp('albert_ner::_bilstm_forward', [...arguments_, false]).outputs;
  t.deepEqual([gates.data.length, cells.data.length], [0, 0]);

  const saved = addon._callOp('albert_ner::_bilstm_forward', [...arguments_, true]).outputs;
  const [features, offsets, w_ih, w_hh, , , w_ih_reverse, w_hh_reverse] = arguments_;
  const weights = [w_ih, w_hh, w_ih_reverse, w_hh_reverse];
  const backward = (featuresGrad: boolean) =>
    addon._callOp('albert_ner::_bilstm_backward', [
      saved[0],
      features,
      offsets,
      ...weights,
      ...saved,
      featuresGrad,
    ]).outputs as (NativeOpTensor | null)[];
  t.is(backward(false)[0], null);
  t.deepEqual(backward(true)[0]?.shape, [5, 4]);
  t.deepEqual(backward(true).slice(1), backward(false).slice(1));
});

test('arguments that disagree are refused', (t) => {
  const problem = randomLstm(12, [2, 3], 4, 3);
  const good = lstmArgs(problem, 'float64');
  const replaced = (index: number, value: NativeOpTensor) =>
    good.map((arg, other) => (other === index ? value : arg));
  const wrong = [
    replaced(0, tensor([20], problem.features)),
    replaced(0, tensor([5, 4], problem.features, 'float32')),
    replaced(1, int32([0, 2, 4])),
    replaced(2, tensor([12, 3], normals(seeded(1), 36))),
    replaced(5, tensor([11], normals(seeded(1), 11))),
    replaced(7, tensor([12, 4], normals(seeded(1), 48))),
  ];
  for (const arguments_ of wrong)
    t.is(
      codeOf(() => addon._callOp('albert_ner::bilstm', arguments_)),
      'ERR_INVALID_ARGUMENT',
    );
});
