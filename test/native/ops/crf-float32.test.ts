import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { tagConstraints } from '../../../lib/labels/constraints.js';
import { TagSet } from '../../../lib/labels/scheme.js';
import { gradients, marginals, nll, viterbi } from '../../support/crf-ops.js';
import {
  type CrfProblem,
  constrain,
  pathScore,
  randomProblem,
  rounded,
  seeded,
} from '../../support/crf-reference.js';
import { largestDifference } from '../../support/native.js';

/** What float32 gives differs from float64 by at most 1e-4, relative where values are large. */
function agrees(free: CrfProblem): boolean {
  const problem = rounded(free);
  const close = (single: number[], exact: number[]) =>
    single.every((value, k) => Math.abs(value - exact[k]) <= 1e-4 * Math.max(1, Math.abs(exact[k])));
  const weights = problem.lengths.map((_, b) => Math.fround(1 - b / 8));
  const exact = gradients(problem, weights);
  return (
    close(nll(problem, 'float32'), nll(problem)) &&
    close(marginals(problem, 'float32').logZ, marginals(problem).logZ) &&
    largestDifference(marginals(problem, 'float32').values, marginals(problem).values) <= 1e-4 &&
    gradients(problem, weights, 'float32').every((gradient, index) => close(gradient, exact[index]))
  );
}

/** The best path in float32 scores what the best path scores, to what float32 can tell. */
function decodesWell(free: CrfProblem): boolean {
  const problem = rounded(free);
  let first = 0;
  const exact = viterbi(problem).score;
  const { tags } = viterbi(problem, 'float32');
  return problem.lengths.every((length, b) => {
    const score = pathScore(problem, first, tags.slice(first, first + length));
    first += length;
    return Math.abs(score - exact[b]) <= 1e-4 * Math.max(1, Math.abs(exact[b]));
  });
}

const ragged = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 20 });

test('float32 agrees with float64 on random ragged batches of any number of tags', (t) => {
  const arbitrary = fc.record({
    K: fc.integer({ min: 1, max: 64 }),
    lengths: ragged,
    seed: fc.integer({ min: 0, max: 1e6 }),
    deviation: fc.constantFrom(0.1, 1, 5, 20),
  });
  fc.assert(
    fc.property(arbitrary, ({ K, lengths, seed, deviation }) => {
      const problem = randomProblem(seeded(seed), { K, lengths, deviation });
      return agrees(problem) && decodesWell(problem);
    }),
    { numRuns: 40, seed: 11 },
  );
  t.pass();
});

test('float32 agrees with float64 under constraints, at spreads where exponentials vanish, too', (t) => {
  const arbitrary = fc.record({
    scheme: fc.constantFrom('BIO' as const, 'BIOES' as const),
    lengths: ragged,
    seed: fc.integer({ min: 0, max: 1e6 }),
    deviation: fc.constantFrom(1, 10, 30, 100, 300, 3000),
  });
  fc.assert(
    fc.property(arbitrary, ({ scheme, lengths, seed, deviation }) => {
      const tagSet = new TagSet(['A', 'B', 'C'], scheme);
      const free = randomProblem(seeded(seed), { K: tagSet.size, lengths, deviation });
      const legal = constrain({ ...free, tags: free.tags.map(() => 0) }, tagConstraints(tagSet));
      return agrees(legal) && decodesWell(legal);
    }),
    { numRuns: 120, seed: 12 },
  );
  t.pass();
});

function forbidSome(problem: CrfProblem, seed: number): CrfProblem {
  const random = seeded(seed);
  const emissions = problem.emissions.map((value, k) => {
    const isGold = problem.tags[Math.floor(k / problem.K)] === k % problem.K;
    return isGold || random.next() < 0.6 ? value : Number.NEGATIVE_INFINITY;
  });
  return { ...problem, emissions };
}

test('float32 agrees with float64 where emissions forbid tags', (t) => {
  for (const deviation of [1, 10, 50, 200]) {
    const problem = randomProblem(seeded(deviation), { K: 7, lengths: [30, 0, 3, 17, 1], deviation });
    t.true(agrees(forbidSome(problem, 5)), String(deviation));
  }
});

function alternating(K: number, T: number, gain: number): CrfProblem {
  // No tag may follow itself, but emissions favour one.
  const problem = randomProblem(seeded(7), { K, lengths: [T], deviation: 0.1 });
  problem.tags = problem.tags.map((_, row) => row % 2);
  problem.emissions = problem.emissions.map((value, k) => value + (k % K === 0 ? gain : 0));
  problem.transitions = problem.transitions.map((value, k) => {
    const isSame = Math.floor(k / K) === k % K;
    return isSame ? Number.NEGATIVE_INFINITY : value;
  });
  return problem;
}

function checkAll(t: ExecutionContext, problems: CrfProblem[]): void {
  problems.forEach((problem, index) => {
    t.true(agrees(problem), String(index));
  });
}

test('float32 agrees with float64 where the emissions favour what the moves forbid', (t) => {
  checkAll(
    t,
    [1, 25, 60, 80, 90, 500].map((gain) => alternating(3, 50, gain)),
  );
});

test('float32 agrees with float64 where moves are all but forbidden', (t) => {
  const soft = (penalty: number) => {
    const problem = randomProblem(seeded(9), { K: 5, lengths: [20, 4] });
    problem.transitions = problem.transitions.map((value, k) => (k % 3 === 0 ? -penalty : value));
    problem.start[1] = -penalty;
    return problem;
  };
  checkAll(t, [10, 40, 80, 100, 1e4].map(soft));
});

test('float32 agrees with float64 where a move whose exponential vanishes turns out to be on every good path', (t) => {
  // The only good path stays in tag 0, whose alpha is large, and must leave it by a move of -penalty in the end.
  const problem = (penalty: number): CrfProblem => ({
    K: 2,
    lengths: [4],
    emissions: [0, -60, 0, 0, -80, 0, -60, 0],
    tags: [0, 0, 1, 1],
    transitions: [0, -penalty, 0, 0],
    start: [0, -60],
    end: [0, 0],
  });
  checkAll(t, [70, 80, 86, 90, 100, 104, 110, 150].map(problem));
});

test('gradients keep their digits where their weights are small', (t) => {
  const problem = rounded(randomProblem(seeded(13), { K: 9, lengths: [30, 12, 7], deviation: 4 }));
  for (const weight of [1e-4, 1e-9, 1e-20]) {
    const weights = [weight, 0.5 * weight, 0.25 * weight].map(Math.fround);
    const exact = gradients(problem, weights);
    for (const [index, gradient] of gradients(problem, weights, 'float32').entries()) {
      const error = largestDifference(gradient, exact[index]) / weight;
      t.true(error < 1e-5, `weight ${weight}, gradient ${index}: ${error}`);
    }
  }
});

test('float32 agrees with float64 on sentences of 5,000 units', (t) => {
  for (const K of [2, 9, 33]) {
    const problem = randomProblem(seeded(K), { K, lengths: [5000, 3], deviation: 3 });
    t.true(agrees(problem) && decodesWell(problem), String(K));
  }
});
