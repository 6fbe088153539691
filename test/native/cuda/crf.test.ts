import test, { type ExecutionContext } from 'ava';
import type { NativeOpTensor } from '../../../lib/native/binding.js';
import {
  type CrfProblem,
  decodingArgs,
  nllArgs,
  randomProblem,
  seeded,
} from '../../support/crf-reference.js';
import { compilerIsThere } from '../../support/cuda-emulator.js';
import { gradOf, lossAndGradients, partialArgs, spanArgs } from '../../support/emulated-crf.js';
import {
  emulated,
  inEveryOrder,
  loadEmulatedOps,
  type OpArgs,
  onCpu,
  relativeDifference,
} from '../../support/emulated-ops.js';
import { addon, type Dtype, int32, numbers, tensor } from '../../support/native.js';

/** 64 tags are the most a warp takes; 65 go the general way. */
const TAG_COUNTS = [1, 2, 9, 31, 32, 33, 64, 65, 70];
const LENGTHS = [3, 0, 1, 20, 2, 0, 7, 13];
const TOLERANCE: Record<Dtype, number> = { float32: 1e-5, float64: 1e-9 };

const ready = async (t: ExecutionContext) => {
  if (!compilerIsThere(t)) return false;
  await loadEmulatedOps();
  return true;
};

function agree(
  t: ExecutionContext,
  actual: (NativeOpTensor | null)[],
  expected: (NativeOpTensor | null)[],
  tolerance: number,
  what: string,
): void {
  t.is(actual.length, expected.length, what);
  expected.forEach((value, k) => {
    const difference = relativeDifference(actual[k], value);
    t.true(difference <= tolerance, `${what}, output ${k}: ${difference}`);
  });
}

/** The same by the public operator of the CPU. */
function expectedLoss(name: string, args: NativeOpTensor[], grad: NativeOpTensor): (NativeOpTensor | null)[] {
  const { outputs, gradients } = addon._callOp(`albert_ner::${name}`, args, [grad]);
  return [...outputs, ...gradients];
}

function forEachProblem(check: (problem: CrfProblem, dtype: Dtype, what: string) => void): void {
  for (const K of TAG_COUNTS) {
    for (const dtype of ['float32', 'float64'] as const) {
      // The largest problems run in one precision: both take the same way through the kernels.
      const lengths = K > 33 ? [1, 0, 6, 2] : LENGTHS;
      check(randomProblem(seeded(K), { K, lengths, deviation: 3 }), dtype, `K ${K}, ${dtype}`);
    }
  }
}

test('loss and gradients are those of the CPU, with the same bits in every order of threads', async (t) => {
  if (!(await ready(t))) return;
  forEachProblem((problem, dtype, what) => {
    const [args, grad] = [nllArgs(problem, dtype), gradOf(problem, dtype)];
    const actual = inEveryOrder(() => lossAndGradients('crf_nll', args, grad));
    agree(t, actual, expectedLoss('crf_nll', args, grad), TOLERANCE[dtype], what);
  });
});

test('so are those of partial annotations', async (t) => {
  if (!(await ready(t))) return;
  forEachProblem((problem, dtype, what) => {
    const args = partialArgs(problem, dtype);
    const grad = gradOf(problem, dtype);
    const actual = inEveryOrder(() => lossAndGradients('crf_partial_nll', args, grad));
    agree(t, actual, expectedLoss('crf_partial_nll', args, grad), TOLERANCE[dtype], what);
  });
});

test('best paths, marginals and span posteriors are those of the CPU', async (t) => {
  if (!(await ready(t))) return;
  forEachProblem((problem, dtype, what) => {
    const args = decodingArgs(problem, dtype);
    const best = inEveryOrder(() => emulated('crf_viterbi', args));
    agree(t, best, onCpu('crf_viterbi', args), 1e-7, `${what}, viterbi`);
    const marginals = inEveryOrder(() => emulated('crf_marginals', args));
    agree(t, marginals, onCpu('crf_marginals', args), TOLERANCE[dtype], `${what}, marginals`);
    const spans = spanArgs(problem, dtype);
    const posteriors = inEveryOrder(() => emulated('crf_span_posterior', spans));
    agree(t, posteriors, onCpu('crf_span_posterior', spans), TOLERANCE[dtype], `${what}, spans`);
  });
});

test('the best paths in order are those of the CPU, as many as there are', async (t) => {
  if (!(await ready(t))) return;
  forEachProblem((problem, dtype, what) => {
    // 70 are more than two tags have in four rows, and more than a block has warps or a warp threads.
    for (const count of problem.K > 33 ? [3] : [1, 4, 70]) {
      const args = [...decodingArgs(problem, dtype), count];
      const [paths, scores] = inEveryOrder(() => emulated('crf_nbest', args));
      const expected = onCpu('crf_nbest', args);
      t.deepEqual(numbers(paths), numbers(expected[0]), `${what}, ${count} paths`);
      agree(t, [scores], [expected[1]], 0, `${what}, scores of ${count} paths`);
    }
  });
});

test('equal scores take the lowest tags, as on the CPU', async (t) => {
  if (!(await ready(t))) return;
  for (const K of [9, 65]) {
    const problem = randomProblem(seeded(2), { K, lengths: [5, 9] });
    const flat = { ...problem, transitions: problem.transitions.map(() => 0) };
    const ties = { ...flat, emissions: flat.emissions.map((score) => Math.round(score)) };
    const args = decodingArgs(ties);
    const compare = (name: string, all: OpArgs) =>
      t.deepEqual(
        inEveryOrder(() => emulated(name, all)).map(numbers),
        onCpu(name, all).map(numbers),
        `${name}, K ${K}`,
      );
    compare('crf_viterbi', args);
    compare('crf_nbest', [...args, 5]);
  }
});

test('forbidden moves and scores of any size are handled as on the CPU', async (t) => {
  if (!(await ready(t))) return;
  for (const K of [9, 66]) {
    const problem = randomProblem(seeded(4), { K, lengths: [6, 1, 12] });
    const forbidden = problem.transitions.map((score, k) => (k % 3 === 1 ? Number.NEGATIVE_INFINITY : score));
    const cases: CrfProblem[] = [
      { ...problem, transitions: forbidden },
      { ...problem, emissions: problem.emissions.map((score) => score * 1e15) },
      { ...problem, emissions: problem.emissions.map((score) => score * 1000), transitions: forbidden },
    ];
    for (const [index, changed] of cases.entries()) {
      const [args, grad] = [nllArgs(changed), gradOf(changed, 'float64')];
      const actual = inEveryOrder(() => lossAndGradients('crf_nll', args, grad));
      agree(t, actual, expectedLoss('crf_nll', args, grad), 1e-9, `K ${K}, case ${index}`);
      const ranked = [...decodingArgs(changed), 3];
      const paths = inEveryOrder(() => emulated('crf_nbest', ranked));
      agree(t, paths, onCpu('crf_nbest', ranked), 0, `K ${K}, case ${index}, best paths`);
    }
  }
});

test('a sentence without a legal path, or with a NaN, has the result NaN and leaves the others alone', async (t) => {
  if (!(await ready(t))) return;
  for (const broken of [Number.NEGATIVE_INFINITY, Number.NaN]) {
    const problem = randomProblem(seeded(5), { K: 4, lengths: [3, 2, 4] });
    const whole = inEveryOrder(() => emulated('crf_nll_forward', nllArgs(problem)));
    const emissions = problem.emissions.slice();
    emissions.fill(broken, 3 * 4, 4 * 4); // the first row of the second sentence
    const [nll] = inEveryOrder(() => emulated('crf_nll_forward', nllArgs({ ...problem, emissions })));
    const expected = numbers(whole[0]);
    t.deepEqual(numbers(nll), [expected[0], Number.NaN, expected[2]]);
    const annotated = partialArgs({ ...problem, emissions }, 'float64');
    const [partial] = inEveryOrder(() => emulated('crf_partial_nll_forward', annotated));
    t.deepEqual(numbers(partial).map(Number.isNaN), [false, true, false], `partial annotations, ${broken}`);
    const ranked = [...decodingArgs({ ...problem, emissions }), 2];
    const [paths, scores] = inEveryOrder(() => emulated('crf_nbest', ranked)).map(numbers);
    t.deepEqual(scores.slice(2, 4), [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    t.deepEqual([...paths.slice(3, 5), ...paths.slice(9 + 3, 9 + 5)], [-1, -1, -1, -1]);
    t.true([0, 1, 4, 5].every((place) => Number.isFinite(scores[place])));
  }
});

test('an annotation that allows no legal path has the loss NaN and leaves the others alone', async (t) => {
  if (!(await ready(t))) return;
  const problem = randomProblem(seeded(8), { K: 4, lengths: [3, 2, 4] });
  const args = partialArgs(problem, 'float64');
  (args[1].data as Uint8Array).fill(0, 3 * 4, 4 * 4); // the first row of the second sentence
  const [nll] = inEveryOrder(() => emulated('crf_partial_nll_forward', args));
  t.deepEqual(numbers(nll).map(Number.isNaN), [false, true, false]);
});

test('batches without sentences or rows give empty results', async (t) => {
  if (!(await ready(t))) return;
  for (const lengths of [[], [0, 0]]) {
    const problem = randomProblem(seeded(6), { K: 3, lengths });
    const [args, grad] = [nllArgs(problem), gradOf(problem, 'float64')];
    // Written out: a tensor of no rows has no width to divide by.
    args[0] = tensor([0, 3], []);
    const actual = inEveryOrder(() => lossAndGradients('crf_nll', args, grad));
    agree(t, actual, expectedLoss('crf_nll', args, grad), 0, `${lengths.length} sentences`);
    const ranked = [...args.filter((_, k) => k !== 1), 2];
    const paths = inEveryOrder(() => emulated('crf_nbest', ranked));
    agree(t, paths, onCpu('crf_nbest', ranked), 0, `best paths of ${lengths.length} sentences`);
  }
});

test('indices out of range stop the kernel before they touch memory', async (t) => {
  if (!(await ready(t))) return;
  const problem = randomProblem(seeded(7), { K: 3, lengths: [2, 2] });
  const args = nllArgs(problem);
  const wrongTag = [args[0], int32([0, 3, 0, 0]), ...args.slice(2)];
  t.throws(() => emulated('crf_nll_forward', wrongTag), { message: /crf_lattice_kernel.*assertion failed/ });
  const wrongOffsets = [...args.slice(0, 2), int32([0, 2, 5]), ...args.slice(3)];
  t.throws(() => emulated('crf_nll_forward', wrongOffsets), {
    message: /crf_lattice_kernel.*assertion failed/,
  });
});
