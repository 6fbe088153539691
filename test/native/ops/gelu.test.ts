import test from 'ava';
import { bfloat16, fromBfloat16, roundToBfloat16 } from '../../support/bfloat16.js';
import { seeded } from '../../support/crf-reference.js';
import { geluTanh } from '../../support/encoder-ops-reference.js';
import { addon, codeOf, largestDifference, normals, numbers, tensor } from '../../support/native.js';

const OP = 'albert_ner::gelu_tanh';

/** Where it is steep, where it is flat, and where the exponential ends. */
const POINTS = [...normals(seeded(1), 40_000, 2), 0, -0, 1e-6, -1e-6, 8, -8, 30, -30, 1e4, -1e4].map(
  roundToBfloat16,
);

function derivative(x: number): number {
  const h = 1e-5 * Math.max(1, Math.abs(x));
  return (geluTanh(x + h) - geluTanh(x - h)) / (2 * h);
}

test('equals the formula in float32, and rounded in bfloat16', (t) => {
  const shape = [2, POINTS.length / 2];
  const single = numbers(addon._callOp(OP, [tensor(shape, POINTS, 'float32')]).outputs[0]);
  t.true(largestDifference(single, POINTS.map(geluTanh)) < 2e-6);
  const [narrow] = addon._callOp(OP, [bfloat16(shape, POINTS)]).outputs;
  t.deepEqual(narrow.shape, shape);
  t.deepEqual(fromBfloat16(narrow), single.map(roundToBfloat16));
});

test('its gradient is the derivative', (t) => {
  const grad = POINTS.map((_, k) => (k % 3) - 1);
  const expected = POINTS.map((x, k) => derivative(x) * grad[k]);
  const shape = [POINTS.length];
  const single = addon._callOp(OP, [tensor(shape, POINTS, 'float32')], [tensor(shape, grad, 'float32')]);
  const values = numbers(single.gradients[0]);
  t.true(largestDifference(values, expected) < 1e-5);
  const [narrow] = addon._callOp(OP, [bfloat16(shape, POINTS)], [bfloat16(shape, grad)]).gradients;
  if (narrow === null) throw new Error('no gradient');
  t.deepEqual(fromBfloat16(narrow), values.map(roundToBfloat16));
});

test('a number of elements that fills no vector, none, and another dtype', (t) => {
  for (const count of [0, 1, 17, 33]) {
    const some = POINTS.slice(0, count);
    const [output] = addon._callOp(OP, [tensor([count], some, 'float32')]).outputs;
    t.true(largestDifference(numbers(output), some.map(geluTanh)) < 2e-6);
  }
  t.is(
    codeOf(() => addon._callOp(OP, [tensor([1], [1])])),
    'ERR_INVALID_ARGUMENT',
  );
});
