/** Random problems for the BiLSTM operator, ways to rearrange them, and the operator itself. */

import type { NativeOpTensor } from '../../lib/native/binding.js';
import { offsetsOf, seeded } from './crf-reference.js';
import { addon, type Dtype, int32, normals, numbers, tensor } from './native.js';

export interface LstmProblem {
  lengths: number[];
  D: number;
  H: number;
  /** [N*D] */
  features: number[];
  /** w_ih, w_hh, b_ih, b_hh, then the same of the reverse direction. */
  weights: { shape: number[]; values: number[] }[];
}

export function randomLstm(seed: number, lengths: number[], D: number, H: number): LstmProblem {
  const random = seeded(seed);
  const N = lengths.reduce((sum, length) => sum + length, 0);
  const shapes = [[4 * H, D], [4 * H, H], [4 * H], [4 * H]];
  return {
    lengths,
    D,
    H,
    features: normals(random, N * D),
    weights: [...shapes, ...shapes].map((shape) => ({
      shape,
      values: normals(
        random,
        shape.reduce((product, size) => product * size, 1),
        0.4,
      ),
    })),
  };
}

export function lstmArgs({ lengths, D, features, weights }: LstmProblem, dtype: Dtype): NativeOpTensor[] {
  return [
    tensor([features.length / D, D], features, dtype),
    int32(offsetsOf(lengths)),
    ...weights.map(({ shape, values }) => tensor(shape, values, dtype)),
  ];
}

/** Output, and where `gradOutput` is given the gradients in features and weights. */
export function lstm(problem: LstmProblem, dtype: Dtype = 'float64', gradOutput?: number[]) {
  const N = problem.features.length / problem.D;
  const grads = gradOutput && [tensor([N, 2 * problem.H], gradOutput, dtype)];
  const { outputs, gradients } = addon._callOp('albert_ner::bilstm', lstmArgs(problem, dtype), grads);
  return { output: numbers(outputs[0]), gradients: gradients.map(numbers) };
}

/** The values of each sentence, `width` a row. */
export function bySentence(lengths: readonly number[], values: number[], width: number): number[][] {
  const offsets = offsetsOf(lengths);
  return lengths.map((_, b) => values.slice(offsets[b] * width, offsets[b + 1] * width));
}

/** Some sentences of the problem, in this order. */
export function withSentences<Problem extends { lengths: number[]; features: number[]; D: number }>(
  problem: Problem,
  sentences: readonly number[],
): Problem {
  const rows = bySentence(problem.lengths, problem.features, problem.D);
  return {
    ...problem,
    lengths: sentences.map((b) => problem.lengths[b]),
    features: sentences.flatMap((b) => rows[b]),
  };
}

/** Every sentence read backwards, and its rows' parts of these widths in reverse order. */
export function mirroredRows(
  lengths: readonly number[],
  values: number[],
  widths: readonly number[],
): number[] {
  const width = widths.reduce((sum, part) => sum + part, 0);
  const starts = offsetsOf(widths);
  return bySentence(lengths, values, width).flatMap((rows) =>
    Array.from({ length: rows.length / width }, (_, row) => rows.slice(row * width, (row + 1) * width))
      .reverse()
      .flatMap((row) =>
        widths
          .map((_, part) => row.slice(starts[part], starts[part + 1]))
          .reverse()
          .flat(),
      ),
  );
}

/** What gives mirrored outputs: sentences read backwards by swapped directions. */
export function mirroredLstm(problem: LstmProblem): LstmProblem {
  return {
    ...problem,
    features: mirroredRows(problem.lengths, problem.features, [problem.D]),
    weights: [...problem.weights.slice(4), ...problem.weights.slice(0, 4)],
  };
}
