import test from 'ava';
import type { NativeOpTensor } from '../../../lib/native/binding.js';
import { addon, codeOf, int32, int64, numbers, tensor } from '../../support/native.js';

const matrix = tensor([2, 3], [1, 2, 3, 4, 5, 6], 'float32');

test('tensors of every dtype come back as they went', (t) => {
  const values: NativeOpTensor[] = [
    matrix,
    tensor([0], []),
    tensor([], [0.1]),
    int32([-1, 2 ** 31 - 1]),
    int64([-(2 ** 53), 7]),
    { dtype: 'bool', shape: [3], data: Uint8Array.from([1, 0, 1]) },
  ];
  for (const value of values) t.deepEqual(addon._callOp('aten::clone', [value, null]).outputs, [value]);
});

test('integers, floats, booleans, null and lists follow the schema of the operator', (t) => {
  t.deepEqual(numbers(addon._callOp('aten::eye', [2, 6, null, null, null]).outputs[0]), [1, 0, 0, 1]);
  t.deepEqual(numbers(addon._callOp('aten::leaky_relu', [tensor([2], [-2, 3]), 0.5]).outputs[0]), [-1, 3]);
  const joined = addon._callOp('aten::cat', [[int32([1]), int32([2, 3])], 0]).outputs[0];
  t.deepEqual(joined, int32([1, 2, 3]));
  t.is(addon._callOp('aten::softmax.int', [matrix, 1, null]).outputs[0].shape.length, 2);
});

test('gradients are those of the given outputs, null where an input has none', (t) => {
  const ones = tensor([2, 3], [1, 1, 1, 1, 1, 1], 'float32');
  const { gradients } = addon._callOp('aten::mul.Tensor', [matrix, matrix], [ones]);
  t.deepEqual(gradients.map(numbers), [numbers(matrix), numbers(matrix)]);
  // Two inputs, two outputs, each of its own: the gradient of the first output knows only the first input.
  const pair = [tensor([1], [3]), tensor([2], [4, 5])];
  const seeds = [tensor([2], [1, 10]), null];
  const apart = addon._callOp('aten::broadcast_tensors', [pair], seeds);
  t.deepEqual(apart.outputs.map(numbers), [
    [3, 3],
    [4, 5],
  ]);
  t.deepEqual(apart.gradients, [tensor([1], [11]), null]);
});

test('a constant gets no gradient', (t) => {
  const ones = tensor([2, 3], [1, 1, 1, 1, 1, 1], 'float32');
  const factor = tensor([2, 3], [2, 3, 4, 5, 6, 7], 'float32');
  const args = [{ ...matrix, constant: true }, factor];
  const { gradients } = addon._callOp('aten::mul.Tensor', args, [ones]);
  t.deepEqual(gradients, [matrix]);
});

test('integers of a schema are whole numbers', (t) => {
  for (const [lengths, heads] of [
    [[1.5, 0.5], 1],
    [[1, 1], 1.5],
  ]) {
    const { message } = t.throws(() =>
      addon._callOp('albert_ner::attention', [matrix, matrix, matrix, lengths as number[], heads as number]),
    ) as Error;
    t.regex(message, /^Expected an integer for argument but received [01]\.5$/);
  }
});

test('a timed operator is called as often as asked, with and without gradients', (t) => {
  const ones = tensor([2, 3], [1, 1, 1, 1, 1, 1], 'float32');
  for (const seeds of [null, [ones]]) {
    const seconds = addon._timeOp('aten::mul.Tensor', [matrix, matrix], seeds, { threads: 1, calls: 3 });
    t.is(seconds.length, 3);
    t.true(seconds.every((value) => value >= 0));
  }
  t.is(
    codeOf(() => addon._timeOp('aten::mul.Tensor', [matrix, matrix], null, { threads: 0, calls: 1 })),
    'ERR_INVALID_ARGUMENT',
  );
});

test('exceptions keep what they are: ours, libtorch, exhausted memory', (t) => {
  const thrown = (name: string, args: NativeOpTensor[]) =>
    t.throws(() => addon._callOp(name, args)) as Error & { code: string; details: Record<string, string> };
  const ours = thrown('albert_ner::crf_nll', [matrix]);
  t.is(ours.code, 'ERR_INVALID_ARGUMENT');
  t.deepEqual(ours.details, { option: 'args' });
  t.is(ours.message, 'Expected 6 arguments for args but received 1');
  const torch = thrown('aten::mm', [matrix, matrix]);
  t.is(torch.code, 'ERR_TORCH');
  t.is(torch.message, 'mm: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)');
  t.true(torch.details.torch.startsWith(torch.message));
  t.is(
    codeOf(() => addon._callOp('aten::eye', [1e7, 7, null, null, null])),
    'ERR_OUT_OF_MEMORY',
  );
  t.is(
    codeOf(() => addon._callOp('albert_ner::unknown', [])),
    'ERR_TORCH',
  );
});
