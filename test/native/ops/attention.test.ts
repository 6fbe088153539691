import test from 'ava';
import type { NativeOpTensor } from '../../../lib/native/binding.js';
import { bfloat16, fromBfloat16, roundToBfloat16 } from '../../support/bfloat16.js';
import { seeded } from '../../support/crf-reference.js';
import { type AttentionProblem, attention } from '../../support/encoder-ops-reference.js';
import { addon, codeOf, largestDifference, normals, numbers, tensor } from '../../support/native.js';

const OP = 'albert_ner::attention';

function randomProblem(seed: number, lengths: number[], heads: number, width: number): AttentionProblem {
  const random = seeded(seed);
  const D = heads * width;
  const M = lengths.reduce((a, b) => a + b, 0);
  const rows = () => normals(random, M * D).map(roundToBfloat16);
  return { lengths, heads, D, query: rows(), key: rows(), value: rows() };
}

type Write = (shape: number[], values: number[]) => NativeOpTensor;
const doubles: Write = (shape, values) => tensor(shape, values);
const singles: Write = (shape, values) => tensor(shape, values, 'float32');

function solve({ lengths, heads, D, query, key, value }: AttentionProblem, write: Write, grad?: number[]) {
  const shape = [query.length / D, D];
  const inputs = [query, key, value].map((values) => write(shape, values));
  return addon._callOp(OP, [...inputs, lengths, heads], grad && [write(shape, grad)]);
}

const PROBLEMS = [
  randomProblem(1, [5], 1, 4),
  randomProblem(2, [1, 3, 0, 17, 3], 2, 8),
  randomProblem(3, [64, 65, 130], 3, 20),
  randomProblem(4, [33, 200], 2, 64),
];
/** Wider than the kernels take: composed of libtorch's operators. */
const WIDE = randomProblem(10, [3, 5], 1, 260);

test('equals the plain loops in float64', (t) => {
  for (const problem of PROBLEMS) {
    const output = numbers(solve(problem, doubles).outputs[0]);
    t.true(largestDifference(output, attention(problem)) < 1e-12);
  }
});

test('gradients in float64 equal central differences', (t) => {
  const problem = randomProblem(5, [4, 2], 2, 3);
  const grad = normals(seeded(7), problem.query.length);
  const { gradients } = solve(problem, doubles, grad);
  const loss = (changed: AttentionProblem) =>
    attention(changed).reduce((sum, value, k) => sum + value * grad[k], 0);
  const h = 1e-6;
  for (const [index, name] of (['query', 'key', 'value'] as const).entries()) {
    const expected = problem[name].map((_, k) => {
      const moved = (by: number) =>
        loss({ ...problem, [name]: problem[name].map((v, other) => (other === k ? v + by : v)) });
      return (moved(h) - moved(-h)) / (2 * h);
    });
    t.true(largestDifference(numbers(gradients[index]), expected) < 1e-8, name);
  }
});

test('float32 equals float64, gradients included', (t) => {
  for (const problem of [...PROBLEMS, WIDE]) {
    const grad = normals(seeded(8), problem.query.length).map(roundToBfloat16);
    const exact = solve(problem, doubles, grad);
    const single = solve(problem, singles, grad);
    t.true(largestDifference(numbers(single.outputs[0]), numbers(exact.outputs[0])) < 1e-5);
    single.gradients.forEach((gradient, k) => {
      t.true(largestDifference(numbers(gradient), numbers(exact.gradients[k])) < 1e-4);
    });
  }
});

test('bfloat16 is float32 rounded at the end, gradients up to the rounding of the output', (t) => {
  for (const problem of PROBLEMS) {
    const grad = normals(seeded(9), problem.query.length).map(roundToBfloat16);
    const single = solve(problem, singles, grad);
    const narrow = solve(problem, bfloat16, grad);
    t.deepEqual(fromBfloat16(narrow.outputs[0]), numbers(single.outputs[0]).map(roundToBfloat16));
    narrow.gradients.forEach((gradient, k) => {
      if (gradient === null) throw new Error('no gradient');
      const expected = numbers(single.gradients[k]);
      const largest = Math.max(...expected.map(Math.abs));
      t.true(largestDifference(fromBfloat16(gradient), expected) < 0.02 * largest);
    });
  }
});

test('a sequence is the same alone as among others, to the last bit', (t) => {
  const problem = randomProblem(6, [7, 90, 31], 2, 16);
  const together = numbers(solve(problem, singles).outputs[0]);
  let first = 0;
  for (const length of problem.lengths) {
    const part = (values: number[]) => values.slice(first * problem.D, (first + length) * problem.D);
    const [query, key, value] = [problem.query, problem.key, problem.value].map(part);
    const alone = solve({ ...problem, lengths: [length], query, key, value }, singles);
    t.deepEqual(numbers(alone.outputs[0]), part(together));
    first += length;
  }
});

test('scores far from zero neither overflow nor vanish', (t) => {
  const problem = randomProblem(11, [6, 40], 1, 4);
  const large = { ...problem, query: problem.query.map((value) => Math.fround(value * 300)) };
  const exact = solve(large, doubles, problem.value);
  const single = solve(large, singles, problem.value);
  t.true(largestDifference(numbers(single.outputs[0]), numbers(exact.outputs[0])) < 1e-3);
  t.true(numbers(single.gradients[0]).every(Number.isFinite));
});

test('nothing to attend to is fine, and bad input is told', (t) => {
  for (const write of [doubles, singles, bfloat16]) {
    for (const lengths of [[], [0, 0]]) {
      const none = randomProblem(1, lengths, 2, 4);
      t.deepEqual(Array.from(solve(none, write).outputs[0].data as Float32Array), []);
    }
  }
  const problem = randomProblem(2, [2, 1], 2, 2);
  const code = (changed: Partial<AttentionProblem>) =>
    codeOf(() => solve({ ...problem, ...changed }, singles));
  t.is(code({ lengths: [2, 2] }), 'ERR_INVALID_ARGUMENT');
  t.is(code({ lengths: [4, -1] }), 'ERR_INVALID_ARGUMENT');
  t.is(code({ heads: 3 }), 'ERR_INVALID_ARGUMENT');
  t.is(code({ heads: 0 }), 'ERR_INVALID_ARGUMENT');
  const rows = singles([3, 4], problem.query);
  const fewer = singles([2, 4], problem.key.slice(0, 8));
  for (const inputs of [
    [rows, fewer, rows],
    [rows, rows, doubles([3, 4], problem.value)],
  ]) {
    t.is(
      codeOf(() => addon._callOp(OP, [...inputs, [2, 1], 2])),
      'ERR_INVALID_ARGUMENT',
    );
  }
});
