/**
 * Prints the allocations inside of a few training steps, as JSON, and whether the last step's gradients are those of
 * tagger_loss. Argument: what is planted, by its number in count-allocations.cpp, which is preloaded.
 */

import { addon, float16, largestDifference, numbers } from '../../../support/native.js';
import { batchTensors, headTensors, randomTagger, taggerLoss } from '../../../support/tagger-problem.js';

/** The largest batch first, then one of the same shape, smaller ones in float16 and float32, and one sentence. */
const SHAPES = [
  [40, 0, 1, 23, 2, 9, 70, 300],
  [40, 0, 1, 23, 2, 9, 70, 300],
  [3, 80, 0, 20],
  [3, 80, 0, 20],
  [17],
];

const problems = SHAPES.map((lengths, index) => {
  const problem = randomTagger(index, lengths, [24, 19, 5]);
  // A forbidden move, as in every scheme of tags.
  problem.head[10][2] = Number.NEGATIVE_INFINITY;
  problem.tags = problem.tags.map((_, row) => 3 + (row % 2));
  return { ...problem, head: index === 0 ? problem.head : [] };
});
for (const problem of problems) problem.head = problems[0].head;
const batches = problems.map(batchTensors);
const [features] = batches[2];
batches[2][0] = float16(features.shape, features.data as Float32Array);

const { outputs } = addon._callOp('albert_ner_test::count_allocations', [
  ...[0, 1, 2].map((place) => batches.map((batch) => batch[place])),
  headTensors(problems[0]),
  0.3,
  Number(process.argv[2]),
]);
const [counts, ...gradients] = outputs.map(numbers);
const expected = taggerLoss(problems[4], { dropout: 0.3 }).gradients;
const isRight = expected.every((values, index) => largestDifference(gradients[index], values) === 0);
console.log(JSON.stringify({ counts, isRight }));
