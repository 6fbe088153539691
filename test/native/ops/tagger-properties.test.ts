import test from 'ava';
import fc from 'fast-check';
import { bySentence, withSentences } from '../../support/lstm-problem.js';
import { largestDifference } from '../../support/native.js';
import { randomTagger, type TaggerProblem, taggerLoss } from '../../support/tagger-problem.js';

const problems = fc
  .record({
    lengths: fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 2, maxLength: 12 }),
    D: fc.integer({ min: 1, max: 20 }),
    H: fc.integer({ min: 1, max: 24 }),
    K: fc.integer({ min: 1, max: 20 }),
    seed: fc.integer({ min: 0, max: 1e6 }),
  })
  .filter(({ lengths }) => lengths.some((length) => length > 0))
  .map(({ lengths, D, H, K, seed }) => randomTagger(seed, lengths, [D, H, K]));

/** Some sentences of the problem, in this order, with their tags. */
function chosen(problem: TaggerProblem, sentences: readonly number[]): TaggerProblem {
  const tags = bySentence(problem.lengths, problem.tags, 1);
  return { ...withSentences(problem, sentences), tags: sentences.flatMap((b) => tags[b]) };
}

/** Loss and gradients as sums over the rows instead of means; of a batch without rows zeros. */
function sums(problem: TaggerProblem): number[][] {
  const N = problem.tags.length;
  if (N === 0) return [[0], ...problem.head.map((values) => values.map(() => 0)), []];
  const { loss, gradients, featuresGradient } = taggerLoss(problem, { featuresGrad: true });
  return [[loss], ...gradients, featuresGradient as number[]].map((values) =>
    values.map((value) => value * N),
  );
}

/** To 1e-4 of the largest value, or of 1. */
const areClose = (actual: number[][], expected: number[][]) =>
  expected.every(
    (values, index) =>
      largestDifference(actual[index], values) <=
      1e-4 * values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1),
  );

function holds(t: { pass(): void }, property: (problem: TaggerProblem) => boolean): void {
  fc.assert(fc.property(problems, property), { numRuns: 30, seed: 22 });
  t.pass();
}

test('the order of the sentences changes the order of the rows and nothing else', (t) => {
  holds(t, (problem) => {
    const order = problem.lengths.map((_, b) => b).reverse();
    const here = sums(problem);
    const rows = bySentence(problem.lengths, here[14], problem.D);
    const expected = [...here.slice(0, 14), order.flatMap((b) => rows[b])];
    return areClose(sums(chosen(problem, order)), expected);
  });
});

test('loss and gradients are the sums of those of two parts of the batch', (t) => {
  holds(t, (problem) => {
    const middle = problem.lengths.length >> 1;
    const sentences = problem.lengths.map((_, b) => b);
    const first = sums(chosen(problem, sentences.slice(0, middle)));
    const second = sums(chosen(problem, sentences.slice(middle)));
    const together = first
      .slice(0, 14)
      .map((values, index) => values.map((value, k) => value + second[index][k]));
    return areClose([...together, [...first[14], ...second[14]]], sums(problem));
  });
});

test('sentences without a row change nothing', (t) => {
  holds(t, (problem) => {
    const lengths = problem.lengths.filter((length) => length > 0);
    const padded = { ...problem, lengths: [0, ...lengths.flatMap((length) => [length, 0, 0])] };
    return areClose(sums(padded), sums(problem));
  });
});

test('with dropout, too, a call leaves nothing behind that the next one could see', (t) => {
  holds(t, (problem) => {
    const options = { dropout: 0.5, seed: 3, featuresGrad: true };
    const before = taggerLoss(problem, options);
    taggerLoss(randomTagger(1, [31, 2], [7, 9, 4]), options);
    const after = taggerLoss(problem, options);
    return [[before.loss], ...before.gradients, before.featuresGradient as number[]].every(
      (values, index) =>
        largestDifference(
          values,
          [[after.loss], ...after.gradients, after.featuresGradient as number[]][index],
        ) === 0,
    );
  });
});
