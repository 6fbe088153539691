import test from 'ava';
import { tagConstraints } from '../../../lib/labels/constraints.js';
import { TagSet } from '../../../lib/labels/scheme.js';
import { call, viterbi } from '../../support/crf-ops.js';
import {
  allPaths,
  type CrfProblem,
  constrain,
  decodingArgs,
  offsetsOf,
  randomProblem,
  seeded,
} from '../../support/crf-reference.js';
import { codeOf, type Dtype, numbers } from '../../support/native.js';

/** paths[rank] of the whole batch, scores[sentence][rank] */
function nbest(problem: CrfProblem, count: number, dtype: Dtype = 'float64') {
  const args = [...decodingArgs(problem, dtype), count as unknown as null];
  const [paths, scores] = call('crf_nbest', args).outputs.map(numbers);
  const N = problem.emissions.length / problem.K;
  return {
    paths: Array.from({ length: count }, (_, rank) => paths.slice(rank * N, (rank + 1) * N)),
    scores: problem.lengths.map((_, b) => scores.slice(b * count, (b + 1) * count)),
  };
}

test('the best paths are those of all paths enumerated, in order, as many as there are', (t) => {
  for (let K = 1; K <= 4; K += 1) {
    for (let T = 1; T <= 5; T += 1) {
      const problem = randomProblem(seeded(K * 10 + T), { K, lengths: [T], deviation: 2 });
      const expected = allPaths(problem, 0).sort((a, b) => b.score - a.score);
      for (const count of [1, 3, 40]) {
        const { paths, scores } = nbest(problem, count);
        for (let rank = 0; rank < count; rank += 1) {
          if (rank < expected.length) {
            t.deepEqual(paths[rank], expected[rank].path);
            t.true(Math.abs(scores[0][rank] - expected[rank].score) < 1e-9);
          } else {
            t.true(paths[rank].every((tag) => tag === -1));
            t.is(scores[0][rank], Number.NEGATIVE_INFINITY);
          }
        }
      }
    }
  }
});

test('of equal scores the path with the lower tags from the last row backwards comes first', (t) => {
  const [K, T] = [3, 3];
  const zeros = (count: number) => new Array<number>(count).fill(0);
  const problem: CrfProblem = {
    K,
    lengths: [T],
    emissions: zeros(T * K),
    tags: zeros(T),
    transitions: zeros(K * K),
    start: zeros(K),
    end: zeros(K),
  };
  const expected = allPaths(problem, 0).map(({ path }) => path.toReversed().join(''));
  const actual = nbest(problem, 27).paths.map((path) => path.toReversed().join(''));
  t.deepEqual(actual, expected.sort());
});

test('the first path is that of Viterbi, in every sentence of a ragged batch', (t) => {
  const lengths = [5, 0, 12, 1, 30];
  const tagSet = new TagSet(['A', 'B'], 'BIOES');
  const free = randomProblem(seeded(3), { K: tagSet.size, lengths });
  const problem = constrain(free, tagConstraints(tagSet));
  for (const dtype of ['float32', 'float64'] as const) {
    const { paths, scores } = nbest(problem, 4, dtype);
    const best = viterbi(problem, dtype);
    t.deepEqual(paths[0], best.tags);
    scores.forEach((ranked, b) => {
      t.true(Math.abs(ranked[0] - best.score[b]) <= 1e-5 * Math.abs(best.score[b]));
      t.deepEqual(
        ranked,
        ranked.toSorted((x, y) => y - x),
      );
    });
    const offsets = offsetsOf(lengths);
    const distinct = new Set(paths.map((path) => path.slice(offsets[4]).join()));
    t.is(distinct.size, 4);
    t.deepEqual(scores[1], [0, ...new Array<number>(3).fill(Number.NEGATIVE_INFINITY)]);
  }
});

test('no path is asked for, or none exists: both are refused', (t) => {
  const problem = randomProblem(seeded(3), { K: 2, lengths: [1, 2] });
  t.is(
    codeOf(() => nbest(problem, 0)),
    'ERR_INVALID_ARGUMENT',
  );
  const never = Number.NEGATIVE_INFINITY;
  const blocked = { ...problem, transitions: [never, never, never, never] };
  t.throws(() => nbest(blocked, 2), { message: /sentence 1$/ });
});
