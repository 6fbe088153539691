import test, { type ExecutionContext } from 'ava';
import { compilerIsThere } from '../../support/cuda-emulator.js';
import { FEATURES, type LstmProblem, outputAndGradients, randomLstm } from '../../support/emulated-bilstm.js';
import { emulated, inEveryOrder, loadEmulatedOps, relativeDifference } from '../../support/emulated-ops.js';
import { addon, type Dtype, int32, numbers } from '../../support/native.js';

const LENGTHS = [3, 0, 1, 12, 2, 7];
/** 64 keeps its weights in registers; of the others 70 has more gates than its block has threads. */
const WIDTHS = [1, 3, 33, 64, 70];
const TOLERANCE: Record<Dtype, number> = { float32: 1e-5, float64: 1e-12 };

const ready = async (t: ExecutionContext) => {
  if (!compilerIsThere(t)) return false;
  await loadEmulatedOps();
  return true;
};

/** Output and gradients by the public operator of the CPU, in the order of outputAndGradients. */
function expectedResults({ args, gradOutput }: LstmProblem) {
  const { outputs, gradients } = addon._callOp('albert_ner::bilstm', args, [gradOutput]);
  const [features, wIh, wHh, bias, , wIhReverse, wHhReverse, biasReverse] = gradients;
  return [outputs[0], features, wIh, wHh, bias, wIhReverse, wHhReverse, biasReverse];
}

test('states and gradients are those of the CPU, with the same bits in every order of threads', async (t) => {
  if (!(await ready(t))) return;
  for (const H of WIDTHS) {
    for (const dtype of ['float32', 'float64'] as const) {
      const problem = randomLstm(H, dtype, LENGTHS);
      const actual = inEveryOrder(() => outputAndGradients(problem));
      expectedResults(problem).forEach((expected, k) => {
        const difference = relativeDifference(actual[k], expected);
        t.true(difference <= TOLERANCE[dtype], `H ${H}, ${dtype}, result ${k}: ${difference}`);
      });
    }
  }
});

test('without gradients nothing is saved and the states are the same', async (t) => {
  if (!(await ready(t))) return;
  for (const H of [64, 33]) {
    const { args } = randomLstm(H, 'float32', LENGTHS);
    const [saving] = emulated('bilstm_forward', [...args, true]);
    const [output, gates, cells] = inEveryOrder(() => emulated('bilstm_forward', [...args, false]));
    t.deepEqual(numbers(output), numbers(saving));
    t.deepEqual([numbers(gates), numbers(cells)], [[], []]);
  }
});

test('the gradient of the features is left out when it is not wanted', async (t) => {
  if (!(await ready(t))) return;
  const [, features, wIh] = outputAndGradients(randomLstm(64, 'float32', LENGTHS), false);
  t.is(features, null);
  t.is(numbers(wIh).length, 4 * 64 * FEATURES);
});

test('batches without sentences or rows give empty states and zero gradients', async (t) => {
  if (!(await ready(t))) return;
  for (const lengths of [[], [0, 0]]) {
    for (const H of [64, 3]) {
      const results = inEveryOrder(() => outputAndGradients(randomLstm(H, 'float32', lengths)));
      t.deepEqual(numbers(results[0]), []);
      for (const gradient of results.slice(1)) t.true(numbers(gradient).every((value) => value === 0));
    }
  }
});

test('offsets out of range stop the kernel before they touch memory', async (t) => {
  if (!(await ready(t))) return;
  for (const H of [64, 3]) {
    const { args } = randomLstm(H, 'float32', [2, 2]);
    const wrong = [args[0], int32([0, 2, 5]), ...args.slice(2), true];
    t.throws(() => emulated('bilstm_forward', wrong), { message: /forward_kernel.*assertion failed/ });
  }
});
