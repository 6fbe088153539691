import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { tagConstraints } from '../../../lib/labels/constraints.js';
import { TagSet } from '../../../lib/labels/scheme.js';
import { call, gradients, marginals, nll, spanPosteriors, viterbi } from '../../support/crf-ops.js';
import {
  type CrfProblem,
  constrain,
  decodingArgs,
  randomProblem,
  seeded,
} from '../../support/crf-reference.js';
import { codeOf, type Dtype } from '../../support/native.js';

function isLegal(tagSet: TagSet, path: readonly number[]): boolean {
  const { transitions, starts, ends } = tagConstraints(tagSet);
  return path.every(
    (tag, row) =>
      (row > 0 || starts[tag] === 1) &&
      (row < path.length - 1 || ends[tag] === 1) &&
      (row === 0 || transitions[path[row - 1] * tagSet.size + tag] === 1),
  );
}

test('a constrained best path is always legal, whatever the emissions', (t) => {
  const arbitrary = fc.record({
    scheme: fc.constantFrom('BIO' as const, 'BIOES' as const),
    seed: fc.integer({ min: 0, max: 1e6 }),
    length: fc.integer({ min: 1, max: 30 }),
    deviation: fc.constantFrom(0.1, 1, 30, 1e4, 1e30),
  });
  fc.assert(
    fc.property(arbitrary, ({ scheme, seed, length, deviation }) => {
      const tagSet = new TagSet(['A', 'B'], scheme);
      const free = randomProblem(seeded(seed), { K: tagSet.size, lengths: [length], deviation });
      const problem = constrain(free, tagConstraints(tagSet));
      const { tags, score } = viterbi(problem, 'float32');
      const sums = marginals(problem, 'float32').values;
      return (
        isLegal(tagSet, tags) &&
        Number.isFinite(score[0]) &&
        sums.every((value) => value >= 0 && value <= 1.001)
      );
    }),
    { numRuns: 300, seed: 4 },
  );
  t.pass();
});

test('forbidden moves have probability and gradient exactly 0', (t) => {
  const tagSet = new TagSet(['A', 'B'], 'BIO');
  const K = tagSet.size;
  const allowed = tagConstraints(tagSet);
  const free = randomProblem(seeded(3), { K, lengths: [6, 1, 12] });
  const legal = constrain({ ...free, tags: free.tags.map(() => 0) }, allowed);
  const [emissions, transitions, start, end] = gradients(legal, [1, 1, 1]);
  t.true(emissions.every(Number.isFinite));
  transitions.forEach((value, k) => {
    if (!allowed.transitions[k]) t.is(value, 0);
  });
  start.forEach((value, k) => {
    if (!allowed.starts[k]) t.is(value, 0);
  });
  t.true(end.every(Number.isFinite));
  const { values } = marginals(legal);
  for (let k = 0; k < K; k += 1) if (!allowed.starts[k]) t.is(values[k], 0);
});

test('a gold path that uses a forbidden move has nll infinity and gradients without NaN', (t) => {
  const tagSet = new TagSet(['A'], 'BIO');
  const free = randomProblem(seeded(3), { K: tagSet.size, lengths: [3] });
  const problem = constrain({ ...free, tags: [0, 2, 0] }, tagConstraints(tagSet));
  t.is(nll(problem)[0], Number.POSITIVE_INFINITY);
  t.true(gradients(problem, [1]).flat().every(Number.isFinite));
});

/** Probabilities of any problem, however large its scores: rows sum to 1, spans lie in [0, 1], gradients are finite. */
function checkProbabilities(t: ExecutionContext, problem: CrfProblem, dtype: Dtype): void {
  const { K, tags } = problem;
  const { values } = marginals(problem, dtype);
  for (let row = 0; row < tags.length; row += 1) {
    const sum = values.slice(row * K, (row + 1) * K).reduce((total, value) => total + value, 0);
    t.true(Math.abs(sum - 1) < 1e-6, `row ${row}: ${sum}`);
  }
  const weights = problem.lengths.map(() => 1);
  t.true(
    gradients(problem, weights, dtype)
      .flat()
      .every((value) => Math.abs(value) <= tags.length + 1e-3),
  );
  const rows = tags.map((_, row) => [row, row + 1]);
  const best = viterbi(problem, dtype).tags;
  const posteriors = spanPosteriors(problem, best, rows, new Array<number>(K).fill(-1));
  t.true(posteriors.every((value) => value >= 0 && value <= 1));
}

test('probabilities stay probabilities at scores of any size', (t) => {
  const tagSet = new TagSet(['A', 'B'], 'BIOES');
  for (const deviation of [1e3, 1e8, 1e15, 1e17, 1e30, 1e200]) {
    for (const dtype of ['float32', 'float64'] as const) {
      if (dtype === 'float32' && deviation > 1e30) continue;
      const free = randomProblem(seeded(41), { K: tagSet.size, lengths: [40, 0, 7], deviation });
      checkProbabilities(t, free, dtype);
      checkProbabilities(
        t,
        constrain({ ...free, tags: free.tags.map(() => 0) }, tagConstraints(tagSet)),
        dtype,
      );
    }
  }
});

test('a span on the best path of huge scores is certain, any other is impossible', (t) => {
  const problem = randomProblem(seeded(42), { K: 5, lengths: [30], deviation: 1e30 });
  const { tags } = viterbi(problem);
  const none = new Array<number>(5).fill(-1);
  t.deepEqual(
    spanPosteriors(
      problem,
      tags,
      [
        [0, 30],
        [3, 9],
      ],
      none,
    ),
    [1, 1],
  );
  const other = tags.map((tag) => (tag + 1) % 5);
  t.deepEqual(
    spanPosteriors(
      problem,
      other,
      [
        [0, 30],
        [3, 9],
      ],
      none,
    ),
    [0, 0],
  );
});

test('a span through a forbidden move has posterior 0', (t) => {
  const tagSet = new TagSet(['A', 'B'], 'BIO');
  const free = randomProblem(seeded(43), { K: tagSet.size, lengths: [6] });
  const problem = constrain(free, tagConstraints(tagSet));
  const none = new Array<number>(tagSet.size).fill(-1);
  const [O, beginA, insideA, , insideB] = [0, 1, 2, 3, 4];
  const spans = [
    [0, 1],
    [0, 6],
    [2, 4],
    [1, 5],
  ];
  t.deepEqual(
    spanPosteriors(problem, [insideA, O, O, insideB, insideB, O], spans.slice(0, 3), none),
    [0, 0, 0],
  );
  t.deepEqual(spanPosteriors(problem, [O, beginA, insideB, insideA, O, O], spans.slice(3), none), [0]);
});

test('the first sentence without a legal path is named', (t) => {
  const never = Number.NEGATIVE_INFINITY;
  const lengths = [...new Array<number>(20).fill(1), 2, 0, 3, 2];
  // One unit alone is legal; no move is.
  const free = randomProblem(seeded(3), { K: 2, lengths });
  const blocked = { ...free, transitions: [never, never, never, never] };
  for (const op of [nll, viterbi, marginals]) {
    t.throws(() => op(blocked), { message: /sentence 20$/, code: 'ERR_INVALID_ARGUMENT' });
  }
  t.throws(() => spanPosteriors(blocked, blocked.tags, [], [-1, -1]), { message: /sentence 20$/ });
});

test('an emission of -infinity forbids its tag', (t) => {
  const problem = randomProblem(seeded(44), { K: 3, lengths: [5] });
  for (const row of [0, 2, 4]) problem.emissions[row * 3 + 1] = Number.NEGATIVE_INFINITY;
  const { values } = marginals(problem);
  for (const row of [0, 2, 4]) {
    t.is(values[row * 3 + 1], 0);
    t.not(viterbi(problem).tags[row], 1);
  }
  t.true(values.every((value) => value >= 0));
});

test('scores that are no numbers, infinite or beyond 1e280 are refused by name and row', (t) => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1e300, -1e300]) {
    for (const name of ['emissions', 'transitions', 'start', 'end'] as const) {
      const problem = randomProblem(seeded(3), { K: 2, lengths: [3] });
      problem[name][1] = value;
      const message = new RegExp(`for ${name}\\w* but received .* in row [01]$`);
      for (const op of [nll, viterbi, marginals]) {
        t.throws(() => op(problem), { message, code: 'ERR_INVALID_ARGUMENT' });
      }
      t.is(
        codeOf(() => spanPosteriors(problem, [0, 0, 0], [], [-1, -1])),
        'ERR_INVALID_ARGUMENT',
      );
    }
  }
});

test('decoding is not differentiable and says so', (t) => {
  const problem = randomProblem(seeded(45), { K: 2, lengths: [3] });
  const args = decodingArgs(problem);
  const grads = call('crf_marginals', args).outputs;
  t.is(
    codeOf(() => call('crf_marginals', args, grads)),
    'ERR_TORCH',
  );
});
