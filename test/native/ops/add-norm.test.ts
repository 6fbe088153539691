import test from 'ava';
import { bfloat16, fromBfloat16, roundToBfloat16 } from '../../support/bfloat16.js';
import { call } from '../../support/crf-ops.js';
import { seeded } from '../../support/crf-reference.js';
import { type AddNormProblem, addNorm } from '../../support/encoder-ops-reference.js';
import { addon, codeOf, largestDifference, normals, numbers, tensor } from '../../support/native.js';

const OP = 'albert_ner::add_norm';
const INPUTS = ['rows', 'added', 'scale', 'bias'] as const;

function randomProblem(seed: number, M: number, D: number, dropout: number): AddNormProblem {
  const random = seeded(seed);
  const rounded = (count: number) => normals(random, count).map(Math.fround);
  return {
    ...{ M, D, dropout, seed, eps: 1e-5 },
    ...{ rows: rounded(M * D), added: rounded(M * D).map(roundToBfloat16) },
    ...{ scale: rounded(D), bias: rounded(D) },
  };
}

const single = (shape: number[], values: number[]) => tensor(shape, values, 'float32');

function args(problem: AddNormProblem, narrow: boolean) {
  const { M, D, rows, added, scale, bias, eps, dropout, seed } = problem;
  const addedRows = narrow ? bfloat16([M, D], added) : single([M, D], added);
  return [single([M, D], rows), addedRows, single([D], scale), single([D], bias), eps, dropout, seed];
}

/** Gradients of sum of weights * addNorm by central differences. */
function gradientsOf(problem: AddNormProblem, weights: number[]): number[][] {
  const h = 1e-6;
  const loss = (changed: AddNormProblem) =>
    addNorm(changed).reduce((sum, value, k) => sum + weights[k] * value, 0);
  return INPUTS.map((name) =>
    problem[name].map((_, k) => {
      const moved = (by: number) =>
        loss({ ...problem, [name]: problem[name].map((value, other) => (other === k ? value + by : value)) });
      return (moved(h) - moved(-h)) / (2 * h);
    }),
  );
}

const SHAPES: [number, number][] = [
  [1, 1],
  [3, 7],
  [5, 16],
  [2, 33],
  [300, 64],
];

test('normalises the sum of rows and what was added, with and without dropout', (t) => {
  for (const [M, D] of SHAPES) {
    for (const dropout of [0, 0.3]) {
      const problem = randomProblem(M + D, M, D, dropout);
      const { outputs } = addon._callOp(OP, args(problem, false));
      t.is(outputs.length, 1);
      t.true(largestDifference(numbers(outputs[0]), addNorm(problem)) < 1e-4, `${M} ${D} ${dropout}`);
    }
  }
});

test('of added rows in bfloat16 there is a result in float32 and the same one rounded', (t) => {
  for (const [M, D] of SHAPES) {
    const problem = randomProblem(M + D, M, D, 0.3);
    const [normed, rounded] = addon._callOp(OP, args(problem, true)).outputs;
    t.deepEqual(numbers(normed), numbers(addon._callOp(OP, args(problem, false)).outputs[0]));
    t.deepEqual(fromBfloat16(rounded), numbers(normed).map(roundToBfloat16));
  }
});

test('gradients equal central differences', (t) => {
  for (const [M, D] of [
    [3, 7],
    [2, 33],
  ]) {
    for (const dropout of [0, 0.3]) {
      const problem = randomProblem(M * D, M, D, dropout);
      const weights = normals(seeded(D), M * D).map(Math.fround);
      const { gradients } = addon._callOp(OP, args(problem, false), [single([M, D], weights)]);
      gradientsOf(problem, weights).forEach((expected, k) => {
        t.true(largestDifference(numbers(gradients[k]), expected) < 1e-4, `${INPUTS[k]} ${dropout}`);
      });
    }
  }
});

test('gradients of the two results add up, and each may be missing', (t) => {
  const [M, D] = [4, 19];
  const problem = randomProblem(6, M, D, 0.2);
  const weights = normals(seeded(1), M * D).map(roundToBfloat16);
  const wide = single([M, D], weights);
  const narrow = bfloat16([M, D], weights);
  const gradients = (grads: Parameters<typeof addon._callOp>[2]) => {
    const [rows, added, scale, bias] = addon._callOp(OP, args(problem, true), grads).gradients;
    if (added === null) throw new Error('no gradient of the added rows');
    return [numbers(rows), fromBfloat16(added), numbers(scale), numbers(bias)];
  };
  const first = gradients([wide, null]);
  t.deepEqual(gradients([null, narrow]), first);
  const both = gradients([wide, narrow]);
  both.forEach((values, k) => {
    const doubled = first[k].map((value) => 2 * value);
    t.true(largestDifference(values, doubled) < 1e-4, INPUTS[k]);
  });
  const expected = gradientsOf(problem, weights);
  for (const [k, tolerance] of [1e-4, 2e-2, 1e-4, 1e-4].entries()) {
    t.true(largestDifference(first[k], expected[k]) < tolerance, INPUTS[k]);
  }
});

test('NaN stays NaN', (t) => {
  const bits = Uint32Array.of(0x7fffffff, 0xffffffff, 0x7fc00000, 0x7f800001);
  const data = new Float32Array(bits.buffer);
  const zeros = tensor([1, 4], [0, 0, 0, 0], 'float32');
  const ones = tensor([4], [1, 1, 1, 1], 'float32');
  const rows = { dtype: 'float32' as const, shape: [1, 4], data };
  const added = bfloat16([1, 4], [0, 0, 0, 0]);
  const [, rounded] = addon._callOp('albert_ner::add_norm', [rows, added, ones, ones, 1e-5, 0, 0]).outputs;
  t.true(fromBfloat16(rounded).every(Number.isNaN));
  const [plain] = addon._callOp('albert_ner::add_norm', [zeros, added, ones, ones, 1e-5, 0, 0]).outputs;
  t.true(numbers(plain).every(Number.isFinite));
});

test('no row is fine, and bad input is told', (t) => {
  const empty = randomProblem(1, 0, 8, 0.5);
  t.deepEqual(numbers(call('add_norm', args(empty, false) as never).outputs[0]), []);
  const [rows, added, scale, bias] = args(randomProblem(2, 2, 3, 0), false);
  const code = (...bad: unknown[]) => codeOf(() => addon._callOp(OP, bad as never));
  t.is(code(rows, added, bias, scale, 1e-5, 1, 0), 'ERR_INVALID_ARGUMENT');
  t.is(code(rows, added, rows, bias, 1e-5, 0, 0), 'ERR_INVALID_ARGUMENT');
  t.is(code(rows, bias, scale, bias, 1e-5, 0, 0), 'ERR_INVALID_ARGUMENT');
  t.is(code(tensor([2, 3], [1, 2, 3, 4, 5, 6]), added, scale, bias, 1e-5, 0, 0), 'ERR_INVALID_ARGUMENT');
});
