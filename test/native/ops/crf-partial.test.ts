import test from 'ava';
import fc from 'fast-check';
import { tagConstraints } from '../../../lib/labels/constraints.js';
import { TagSet } from '../../../lib/labels/scheme.js';
import type { NativeOpTensor } from '../../../lib/native/binding.js';
import { call, gradients, nll } from '../../support/crf-ops.js';
import {
  allPaths,
  type CrfProblem,
  constrain,
  decodingArgs,
  logSumExp,
  randomProblem,
  rounded,
  seeded,
} from '../../support/crf-reference.js';
import { codeOf, type Dtype, largestDifference, numbers, tensor } from '../../support/native.js';

const RAGGED = [7, 0, 1, 23, 2, 0, 5, 11];

/** [N, K] bool */
function boolTensor(values: readonly boolean[], K: number): NativeOpTensor {
  return { dtype: 'bool', shape: [values.length / K, K], data: Uint8Array.from(values, Number) };
}

function partialArgs(problem: CrfProblem, allowed: readonly boolean[], dtype: Dtype = 'float64') {
  const [emissions, ...rest] = decodingArgs(problem, dtype);
  return [emissions, boolTensor(allowed, problem.K), ...rest];
}

const partialNll = (problem: CrfProblem, allowed: readonly boolean[], dtype: Dtype = 'float64') =>
  numbers(call('crf_partial_nll', partialArgs(problem, allowed, dtype)).outputs[0]);

function partialGradients(
  problem: CrfProblem,
  allowed: readonly boolean[],
  weights: number[],
  dtype: Dtype = 'float64',
): number[][] {
  const seed = tensor([weights.length], weights, dtype);
  return call('crf_partial_nll', partialArgs(problem, allowed, dtype), [seed])
    .gradients.filter((gradient) => gradient !== null)
    .map(numbers);
}

/** The problem's tags, and every other tag with some probability. */
function someAllowed(problem: CrfProblem, seed: number, share = 0.4): boolean[] {
  const random = seeded(seed);
  return problem.tags.flatMap((tag) =>
    Array.from({ length: problem.K }, (_, k) => k === tag || random.next() < share),
  );
}

const oneHot = ({ tags, K }: CrfProblem) =>
  tags.flatMap((tag) => Array.from({ length: K }, (_, k) => k === tag));

test('the loss is log Z minus log Z of the allowed paths, against all paths enumerated', (t) => {
  for (let K = 1; K <= 4; K += 1) {
    for (let T = 1; T <= 5; T += 1) {
      const problem = randomProblem(seeded(K * 10 + T), { K, lengths: [T], deviation: 2 });
      const allowed = someAllowed(problem, T);
      const paths = allPaths(problem, 0);
      const legal = paths.filter(({ path }) => path.every((tag, row) => allowed[row * K + tag]));
      const expected =
        logSumExp(paths.map(({ score }) => score)) - logSumExp(legal.map(({ score }) => score));
      t.true(Math.abs(partialNll(problem, allowed)[0] - expected) < 1e-9, `K=${K} T=${T}`);
    }
  }
});

test('with one allowed tag per row it is crf_nll, gradients included', (t) => {
  for (const K of [1, 3, 9]) {
    const problem = randomProblem(seeded(K), { K, lengths: RAGGED });
    const weights = RAGGED.map((_, b) => 1 - b / 4);
    t.true(largestDifference(partialNll(problem, oneHot(problem)), nll(problem)) < 1e-9);
    const ours = partialGradients(problem, oneHot(problem), weights);
    gradients(problem, weights)
      .filter((gradient) => gradient !== null)
      .forEach((expected, index) => {
        t.true(largestDifference(ours[index], expected) < 1e-9);
      });
  }
});

test('with every tag allowed the loss and its gradients are 0', (t) => {
  const problem = randomProblem(seeded(4), { K: 5, lengths: RAGGED });
  const all = problem.emissions.map(() => true);
  t.deepEqual(
    partialNll(problem, all),
    RAGGED.map(() => 0),
  );
  const zero = partialGradients(
    problem,
    all,
    RAGGED.map(() => 1),
  );
  t.true(zero.flat().every((value) => Math.abs(value) < 1e-12));
});

test('gradients equal central differences in float64', (t) => {
  const problem = randomProblem(seeded(5), { K: 3, lengths: [4, 0, 1, 6] });
  const allowed = someAllowed(problem, 6);
  const weights = [1, 0.5, -2, 0.25];
  const analytic = partialGradients(problem, allowed, weights);
  const step = 1e-5;
  const loss = (changed: CrfProblem) =>
    partialNll(changed, allowed).reduce((sum, value, b) => sum + weights[b] * value, 0);
  for (const [index, key] of (['emissions', 'transitions', 'start', 'end'] as const).entries()) {
    const numeric = problem[key].map((_, place) => {
      const moved = (delta: number) => ({
        ...problem,
        [key]: problem[key].map((value, k) => (k === place ? value + delta : value)),
      });
      return (loss(moved(step)) - loss(moved(-step))) / (2 * step);
    });
    t.true(largestDifference(analytic[index], numeric) < 1e-8, key);
  }
});

test('forbidden moves stay forbidden, and an annotation without legal path is named', (t) => {
  const tagSet = new TagSet(['X', 'Y'], 'BIO');
  const free = randomProblem(seeded(8), { K: tagSet.size, lengths: [3, 3] });
  const problem = constrain({ ...free, tags: [0, 0, 0, 0, 0, 0] }, tagConstraints(tagSet));
  const open = problem.tags.flatMap(() => [true, true, true, false, false]);
  const [first] = partialNll(problem, open);
  t.true(Number.isFinite(first) && first > 0);
  // The second sentence begins inside an entity.
  const illegal = open.map((value, index) => (index >= 15 && index < 20 ? index === 17 : value));
  const error = t.throws(() => partialNll(problem, illegal)) as Error;
  t.is(
    codeOf(() => partialNll(problem, illegal)),
    'ERR_INVALID_ARGUMENT',
  );
  t.regex(error.message, /sentence 1/);
});

test('float32 stays close to float64, losses to 1e-3 and gradients to 1e-4', (t) => {
  const problem = randomProblem(seeded(9), { K: 9, lengths: [500, 3, 40] });
  const allowed = someAllowed(problem, 10);
  t.true(largestDifference(partialNll(problem, allowed, 'float32'), partialNll(problem, allowed)) < 1e-3);

  const arbitrary = fc.record({
    K: fc.integer({ min: 1, max: 30 }),
    lengths: fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 12 }),
    seed: fc.integer({ min: 0, max: 1e6 }),
    deviation: fc.constantFrom(0.1, 1, 5, 20, 100),
    share: fc.constantFrom(0, 0.1, 0.5, 1),
  });
  fc.assert(
    fc.property(arbitrary, ({ seed, share, ...options }) => {
      const exact = rounded(randomProblem(seeded(seed), options));
      const open = someAllowed(exact, seed + 1, share);
      const weights = exact.lengths.map((_, b) => 1 - b / 8);
      const expected = partialGradients(exact, open, weights);
      return partialGradients(exact, open, weights, 'float32').every((gradient, index) => {
        const scale = expected[index].reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
        return largestDifference(gradient, expected[index]) <= 1e-4 * scale;
      });
    }),
    { numRuns: 60, seed: 23 },
  );
});

test('a mask of another shape or dtype is refused', (t) => {
  const problem = randomProblem(seeded(11), { K: 3, lengths: [2] });
  const [emissions, , ...rest] = partialArgs(problem, oneHot(problem));
  const wrong = boolTensor([true, true, true], 3);
  t.is(
    codeOf(() => call('crf_partial_nll', [emissions, wrong, ...rest])),
    'ERR_INVALID_ARGUMENT',
  );
  t.is(
    codeOf(() => call('crf_partial_nll', [emissions, emissions, ...rest])),
    'ERR_INVALID_ARGUMENT',
  );
});
