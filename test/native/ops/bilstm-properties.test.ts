import test from 'ava';
import fc from 'fast-check';
import { seeded } from '../../support/crf-reference.js';
import {
  bySentence,
  type LstmProblem,
  lstm,
  mirroredLstm,
  mirroredRows,
  randomLstm,
  withSentences,
} from '../../support/lstm-problem.js';
import { largestDifference, normals } from '../../support/native.js';

const problems = fc
  .record({
    lengths: fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 1, maxLength: 12 }),
    D: fc.integer({ min: 1, max: 20 }),
    H: fc.integer({ min: 1, max: 24 }),
    seed: fc.integer({ min: 0, max: 1e6 }),
  })
  .map(({ lengths, D, H, seed }) => ({ problem: randomLstm(seed, lengths, D, H), seed }));

/** A gradient of the output. */
const gradOf = ({ features, D, H }: LstmProblem, seed: number) =>
  normals(seeded(seed + 1), (features.length / D) * 2 * H);

const solve = (problem: LstmProblem, gradOutput: number[]) => lstm(problem, 'float64', gradOutput);

const isClose = (actual: number[], expected: number[], tolerance = 1e-9) =>
  largestDifference(actual, expected) <= tolerance * Math.max(1, ...expected.map(Math.abs));

const holds = (t: { pass(): void }, property: (problem: LstmProblem, seed: number) => boolean) => {
  fc.assert(
    fc.property(problems, ({ problem, seed }) => property(problem, seed)),
    { numRuns: 30, seed: 21 },
  );
  t.pass();
};

test('the order of the sentences changes the order of the rows and nothing else', (t) => {
  holds(t, (problem, seed) => {
    const order = problem.lengths.map((_, b) => b).reverse();
    const gradOutput = gradOf(problem, seed);
    const width = 2 * problem.H;
    const reorder = (values: number[], perRow: number) =>
      order.flatMap((b) => bySentence(problem.lengths, values, perRow)[b]);
    const here = solve(problem, gradOutput);
    const there = solve(withSentences(problem, order), reorder(gradOutput, width));
    return (
      isClose(there.output, reorder(here.output, width)) &&
      isClose(there.gradients[0], reorder(here.gradients[0], problem.D)) &&
      here.gradients.slice(1).every((gradient, index) => isClose(there.gradients[index + 1], gradient))
    );
  });
});

test('gradients of the weights are the sums of those of two parts of the batch', (t) => {
  holds(t, (problem, seed) => {
    const middle = problem.lengths.length >> 1;
    const sentences = problem.lengths.map((_, b) => b);
    const gradOutput = gradOf(problem, seed);
    const gradOfSentence = bySentence(problem.lengths, gradOutput, 2 * problem.H);
    const whole = solve(problem, gradOutput);
    const [first, second] = [sentences.slice(0, middle), sentences.slice(middle)].map((part) =>
      solve(
        withSentences(problem, part),
        part.flatMap((b) => gradOfSentence[b]),
      ),
    );
    return (
      isClose([...first.output, ...second.output], whole.output) &&
      isClose([...first.gradients[0], ...second.gradients[0]], whole.gradients[0]) &&
      whole.gradients.slice(1).every((gradient, index) =>
        isClose(
          first.gradients[index + 1].map((value, k) => value + second.gradients[index + 1][k]),
          gradient,
        ),
      )
    );
  });
});

test('reversed sentences with swapped directions give reversed rows with swapped halves, gradients included', (t) => {
  holds(t, (problem, seed) => {
    const { H, D, lengths } = problem;
    const gradOutput = gradOf(problem, seed);
    const here = solve(problem, gradOutput);
    const there = solve(mirroredLstm(problem), mirroredRows(lengths, gradOutput, [H, H]));
    const [features, ...weights] = there.gradients;
    return (
      isClose(there.output, mirroredRows(lengths, here.output, [H, H])) &&
      isClose(features, mirroredRows(lengths, here.gradients[0], [D])) &&
      [...weights.slice(4), ...weights.slice(0, 4)].every((gradient, index) =>
        isClose(gradient, here.gradients[index + 1]),
      )
    );
  });
});

test('sentences without a row change nothing', (t) => {
  holds(t, (problem, seed) => {
    const gradOutput = gradOf(problem, seed);
    const lengths = problem.lengths.filter((length) => length > 0);
    const here = solve(problem, gradOutput);
    const there = solve(
      { ...problem, lengths: [0, ...lengths.flatMap((length) => [length, 0])] },
      gradOutput,
    );
    return (
      isClose(there.output, here.output, 0) &&
      there.gradients.every((gradient, index) => isClose(gradient, here.gradients[index]))
    );
  });
});

test('float32 agrees with float64 to 1e-4', (t) => {
  holds(t, (problem, seed) => {
    const round = (values: number[]) => values.map(Math.fround);
    const single = {
      ...problem,
      features: round(problem.features),
      weights: problem.weights.map(({ shape, values }) => ({ shape, values: round(values) })),
    };
    const gradOutput = round(gradOf(problem, seed));
    const here = lstm(single, 'float32', gradOutput);
    const exact = lstm(single, 'float64', gradOutput);
    return (
      isClose(here.output, exact.output, 1e-4) &&
      here.gradients.every((gradient, index) => isClose(gradient, exact.gradients[index], 1e-4))
    );
  });
});
