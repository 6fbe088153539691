import test from 'ava';
import fc from 'fast-check';
import { tagConstraints } from '../../../lib/labels/constraints.js';
import { TagSet } from '../../../lib/labels/scheme.js';
import type { NativeOpTensor } from '../../../lib/native/binding.js';
import { call, gradients, marginals, nll, spanPosteriors, viterbi } from '../../support/crf-ops.js';
import {
  allPaths,
  type CrfProblem,
  constrain,
  logPartition,
  logSumExp,
  nllArgs,
  offsetsOf,
  pathScore,
  randomProblem,
  seeded,
} from '../../support/crf-reference.js';
import { codeOf, int32, largestDifference, normals, tensor } from '../../support/native.js';

const SMALL = [1, 2, 3, 4].flatMap((K) => [1, 2, 3, 4, 5].map((T) => ({ K, T })));
const RAGGED = [7, 0, 1, 23, 2, 0, 40, 5, 5, 11, 3, 64];

test('nll is log Z minus the score of the path, against all paths enumerated', (t) => {
  for (const { K, T } of SMALL) {
    const problem = randomProblem(seeded(K * 10 + T), { K, lengths: [T], deviation: 2 });
    const logZ = logSumExp(allPaths(problem, 0).map(({ score }) => score));
    t.true(Math.abs(nll(problem)[0] - (logZ - pathScore(problem, 0, problem.tags))) < 1e-9);
  }
});

test('Viterbi finds the best of all paths and its score', (t) => {
  for (const { K, T } of SMALL) {
    const problem = randomProblem(seeded(K * 100 + T), { K, lengths: [T], deviation: 2 });
    const best = allPaths(problem, 0).reduce((a, b) => (b.score > a.score ? b : a));
    const { tags, score } = viterbi(problem);
    t.deepEqual(tags, best.path);
    t.true(Math.abs(score[0] - best.score) < 1e-9);
  }
});

test('marginals are the summed probabilities of all paths', (t) => {
  for (const { K, T } of SMALL) {
    const problem = randomProblem(seeded(K * 1000 + T), { K, lengths: [T], deviation: 2 });
    const paths = allPaths(problem, 0);
    const logZ = logSumExp(paths.map(({ score }) => score));
    const expected = new Array<number>(T * K).fill(0);
    for (const { path, score } of paths) {
      path.forEach((tag, row) => {
        expected[row * K + tag] += Math.exp(score - logZ);
      });
    }
    const actual = marginals(problem);
    t.true(largestDifference(actual.values, expected) < 1e-12);
    t.true(Math.abs(actual.logZ[0] - logZ) < 1e-9);
  }
});

test('span posteriors are the summed probabilities of the paths with exactly that span', (t) => {
  for (const scheme of ['BIO', 'BIOES'] as const) {
    const tagSet = new TagSet(['X'], scheme);
    const K = tagSet.size;
    const continuation = Array.from(tagSet.roles, (role) => (role === 1 || role === 2 ? 2 : -1));
    for (let T = 1; T <= 5; T += 1) {
      const free = randomProblem(seeded(T), { K, lengths: [T], deviation: 2 });
      const problem = constrain(free, tagConstraints(tagSet));
      const paths = allPaths(problem, 0).filter(({ score }) => score > Number.NEGATIVE_INFINITY);
      const logZ = logSumExp(paths.map(({ score }) => score));
      for (let first = 0; first < T; first += 1) {
        for (let end = first + 1; end <= T; end += 1) {
          const inside = (row: number) => {
            if (scheme === 'BIO') return row === first ? 1 : 2;
            if (end - first === 1) return 4;
            if (row === first) return 1;
            return row === end - 1 ? 3 : 2;
          };
          const path = Array.from({ length: T }, (_, row) => (row >= first && row < end ? inside(row) : 0));
          const matches = paths.filter(({ path: other }) => {
            const same = path.every((tag, row) => row < first || row >= end || other[row] === tag);
            return same && (end === T || other[end] !== continuation[path[end - 1]]);
          });
          const expected = matches.reduce((sum, { score }) => sum + Math.exp(score - logZ), 0);
          const [actual] = spanPosteriors(problem, path, [[first, end]], continuation);
          t.true(Math.abs(actual - expected) < 1e-12, `${scheme} ${T} ${first}-${end}`);
        }
      }
    }
  }
});

test('log Z equals the plain recursion on a ragged batch with empty sentences', (t) => {
  for (const K of [1, 2, 9, 31, 64]) {
    const problem = randomProblem(seeded(K), { K, lengths: RAGGED });
    const expected = RAGGED.map((_, sentence) => logPartition(problem, sentence));
    t.true(largestDifference(marginals(problem).logZ, expected) < 1e-9);
  }
});

test('Viterbi equals the plain recursion on a ragged batch with empty sentences', (t) => {
  for (const K of [1, 2, 9, 31]) {
    const problem = randomProblem(seeded(K + 70), { K, lengths: RAGGED });
    const { tags, score } = viterbi(problem);
    const offsets = offsetsOf(RAGGED);
    RAGGED.forEach((_, b) => {
      const best = logPartition(problem, b, (scores) => Math.max(...scores));
      t.true(Math.abs(score[b] - best) < 1e-9);
      const path = tags.slice(offsets[b], offsets[b + 1]);
      t.true(Math.abs(pathScore(problem, offsets[b], path) - best) < 1e-9);
    });
  }
});

test('the posterior of a span of one row without continuation is its marginal', (t) => {
  const K = 6;
  const problem = randomProblem(seeded(71), { K, lengths: RAGGED, deviation: 2 });
  const { values } = marginals(problem);
  const rows = problem.tags.map((_, row) => [row, row + 1]);
  const posteriors = spanPosteriors(problem, problem.tags, rows, new Array<number>(K).fill(-1));
  const expected = problem.tags.map((tag, row) => values[row * K + tag]);
  t.true(largestDifference(posteriors, expected) < 1e-12);
});

test('gradients equal central differences in float64', (t) => {
  const problem = randomProblem(seeded(5), { K: 3, lengths: [4, 0, 1, 6] });
  const weights = [1, 0.5, -2, 0.25];
  const loss = (changed: CrfProblem) => nll(changed).reduce((sum, value, b) => sum + weights[b] * value, 0);
  const actual = gradients(problem, weights);
  const h = 1e-5;
  for (const [index, name] of (['emissions', 'transitions', 'start', 'end'] as const).entries()) {
    const expected = problem[name].map((_, k) => {
      const moved = (by: number) => ({
        ...problem,
        [name]: problem[name].map((value, other) => (other === k ? value + by : value)),
      });
      return (loss(moved(h)) - loss(moved(-h))) / (2 * h);
    });
    t.true(largestDifference(actual[index], expected) < 1e-8, name);
  }
});

test('float32 agrees with float64 on ragged batches', (t) => {
  for (const K of [2, 9, 40]) {
    const problem = randomProblem(seeded(K + 1), { K, lengths: RAGGED, deviation: 3 });
    const exact = nll(problem);
    const single = nll(problem, 'float32');
    exact.forEach((value, b) => {
      t.true(Math.abs(single[b] - value) <= 1e-4 * Math.max(1, value));
    });
    const ones = RAGGED.map(() => 1);
    gradients(problem, ones, 'float32').forEach((gradient, index) => {
      t.true(largestDifference(gradient, gradients(problem, ones)[index]) < 1e-4);
    });
  }
});

test('marginals sum to 1 and are the gradient of log Z', (t) => {
  const K = 5;
  const problem = randomProblem(seeded(8), { K, lengths: RAGGED });
  const { values } = marginals(problem);
  for (let row = 0; row < values.length / K; row += 1) {
    const sum = values.slice(row * K, (row + 1) * K).reduce((total, value) => total + value, 0);
    t.true(Math.abs(sum - 1) < 1e-10);
  }
  const [emissions] = gradients(
    problem,
    RAGGED.map(() => 1),
  );
  const counted = values.map((value, k) => value - (problem.tags[Math.floor(k / K)] === k % K ? 1 : 0));
  t.true(largestDifference(emissions, counted) < 1e-10);
});

test('a batch gives what its sentences give alone', (t) => {
  const K = 7;
  const problem = randomProblem(seeded(13), { K, lengths: RAGGED });
  const offsets = offsetsOf(RAGGED);
  const together = { nll: nll(problem), ...viterbi(problem) };
  RAGGED.forEach((length, b) => {
    const alone = {
      ...problem,
      lengths: [length],
      emissions: problem.emissions.slice(offsets[b] * K, offsets[b + 1] * K),
      tags: problem.tags.slice(offsets[b], offsets[b + 1]),
    };
    t.is(nll(alone)[0], together.nll[b]);
    t.deepEqual(viterbi(alone).tags, together.tags.slice(offsets[b], offsets[b + 1]));
  });
});

test('a reversed sentence with transposed transitions has the same nll', (t) => {
  const K = 4;
  const problem = randomProblem(seeded(21), { K, lengths: [9] });
  const rows = Array.from({ length: 9 }, (_, row) => problem.emissions.slice(row * K, (row + 1) * K));
  const reversed: CrfProblem = {
    ...problem,
    emissions: rows.reverse().flat(),
    tags: [...problem.tags].reverse(),
    transitions: problem.transitions.map((_, k) => problem.transitions[(k % K) * K + Math.floor(k / K)]),
    start: problem.end,
    end: problem.start,
  };
  t.true(Math.abs(nll(reversed)[0] - nll(problem)[0]) < 1e-10);
});

test('the best path never scores above log Z', (t) => {
  const problem = randomProblem(seeded(34), { K: 9, lengths: RAGGED, deviation: 4 });
  const { score } = viterbi(problem);
  const { logZ } = marginals(problem);
  score.forEach((value, b) => {
    t.true(value <= logZ[b] + 1e-9);
  });
});

test('of equal scores the lower tag wins, from the last row backwards', (t) => {
  const scores = (count: number) =>
    fc.array(fc.integer({ min: 0, max: 1 }), { minLength: count, maxLength: count });
  const K = 3;
  const T = 4;
  const arbitrary = fc.tuple(scores(T * K), scores(K * K), scores(K), scores(K));
  fc.assert(
    fc.property(arbitrary, ([emissions, transitions, start, end]) => {
      const problem: CrfProblem = { K, lengths: [T], emissions, tags: [], transitions, start, end };
      const paths = allPaths(problem, 0);
      const best = Math.max(...paths.map(({ score }) => score));
      const tied = paths.filter(({ score }) => score === best).map(({ path }) => path.toReversed().join(''));
      const first = tied.sort()[0];
      const dtypes = ['float64', 'float32'] as const;
      return dtypes.every((dtype) => viterbi(problem, dtype).tags.toReversed().join('') === first);
    }),
    { numRuns: 100, seed: 5 },
  );
  t.pass();
});

test('no batch, no row and empty sentences are fine', (t) => {
  const none = randomProblem(seeded(1), { K: 3, lengths: [] });
  t.deepEqual(nll(none), []);
  t.deepEqual(viterbi(none), { tags: [], score: [] });
  const empty = randomProblem(seeded(1), { K: 3, lengths: [0, 0] });
  t.deepEqual(nll(empty), [0, 0]);
  t.deepEqual(viterbi(empty).score, [0, 0]);
  t.deepEqual(
    gradients(empty, [1, 1]).map((gradient) => gradient.every((value) => value === 0)),
    [true, true, true, true],
  );
});

test('a sentence of 5,000 units keeps its precision', (t) => {
  const problem = randomProblem(seeded(55), { K: 9, lengths: [5000], deviation: 3 });
  const exact = logPartition(problem, 0);
  t.true(Math.abs(marginals(problem).logZ[0] - exact) < 1e-7 * exact);
  const single = nll(problem, 'float32')[0];
  const expected = exact - pathScore(problem, 0, problem.tags);
  t.true(Math.abs(single - expected) < 1e-4 * expected);
  const { values } = marginals(problem, 'float32');
  const lastRow = values.slice(-9).reduce((sum, value) => sum + value, 0);
  t.true(Math.abs(lastRow - 1) < 1e-5);
  const { tags, score } = viterbi(problem, 'float32');
  t.true(Math.abs(score[0] - pathScore(problem, 0, tags)) < 1e-6 * score[0]);
  const sums = gradients(problem, [1], 'float32').map((gradient) =>
    gradient.reduce((sum, value) => sum + value, 0),
  );
  for (const sum of sums) t.true(Math.abs(sum) < 1e-2);
});

test('arguments that disagree are refused', (t) => {
  const problem = randomProblem(seeded(3), { K: 3, lengths: [2, 2] });
  const [emissions, tags, offsets, transitions, start, end] = nllArgs(problem);
  const wrong: (NativeOpTensor | null)[][] = [
    [tensor([12], problem.emissions), tags, offsets, transitions, start, end],
    [emissions, int32([0, 1, 2, 3]), offsets, transitions, start, end],
    [emissions, int32([0, 1, -1, 0]), offsets, transitions, start, end],
    [emissions, int32([0, 1]), offsets, transitions, start, end],
    [emissions, tags, int32([0, 3, 2]), transitions, start, end],
    [emissions, tags, int32([1, 2, 4]), transitions, start, end],
    [emissions, tags, int32([0, 2, 5]), transitions, start, end],
    [emissions, tags, offsets, tensor([2, 3], normals(seeded(1), 6)), start, end],
    [emissions, tags, offsets, transitions, tensor([3], [0, 0, 0], 'float32'), end],
    [int32(problem.tags.concat(problem.tags, problem.tags), [4, 3]), tags, offsets, transitions, start, end],
  ];
  for (const args of wrong)
    t.is(
      codeOf(() => call('crf_nll', args)),
      'ERR_INVALID_ARGUMENT',
    );
});

test('spans outside one sentence are refused', (t) => {
  const problem = randomProblem(seeded(3), { K: 2, lengths: [2, 0, 2] });
  for (const span of [
    [0, 3],
    [1, 1],
    [-1, 1],
    [3, 5],
    [4, 5],
  ]) {
    t.is(
      codeOf(() => spanPosteriors(problem, [0, 0, 0, 0], [span], [-1, -1])),
      'ERR_INVALID_ARGUMENT',
      String(span),
    );
  }
  t.is(spanPosteriors(problem, [0, 0, 0, 0], [[2, 4]], [-1, -1]).length, 1);
});

test('path tags and continuations out of range are refused', (t) => {
  const problem = randomProblem(seeded(3), { K: 2, lengths: [3] });
  const refused = (path: number[], continuation: number[]) =>
    t.is(
      codeOf(() => spanPosteriors(problem, path, [[0, 1]], continuation)),
      'ERR_INVALID_ARGUMENT',
    );
  refused([0, 2, 0], [-1, -1]);
  refused([0, 0], [-1, -1]);
  refused([0, 0, 0], [-1, 2]);
  refused([0, 0, 0], [-2, -1]);
  refused([0, 0, 0], [-1]);
});
