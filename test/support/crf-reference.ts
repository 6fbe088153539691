/** A linear-chain CRF the slow and obvious way, in float64: all paths enumerated, and the plain recursions. */

import type { NativeOpTensor } from '../../lib/native/binding.js';
import { createRandom, type Random } from '../../lib/random.js';
import { type Dtype, int32, normals, tensor } from './native.js';

export interface CrfProblem {
  K: number;
  lengths: number[];
  /** [N*K] */
  emissions: number[];
  /** [N] */
  tags: number[];
  /** [K*K], [K], [K] */
  transitions: number[];
  start: number[];
  end: number[];
}

export interface RandomProblemOptions {
  K: number;
  lengths: number[];
  deviation?: number;
}

export function randomProblem(
  random: Random,
  { K, lengths, deviation = 1 }: RandomProblemOptions,
): CrfProblem {
  const N = lengths.reduce((sum, length) => sum + length, 0);
  return {
    K,
    lengths,
    emissions: normals(random, N * K, deviation),
    tags: Array.from({ length: N }, () => random.int(K)),
    transitions: normals(random, K * K),
    start: normals(random, K),
    end: normals(random, K),
  };
}

/** The problem as float32 has it, so that both types solve the same one. */
export function rounded(problem: CrfProblem): CrfProblem {
  const round = (values: number[]) => values.map(Math.fround);
  const { emissions, transitions, start, end } = problem;
  return {
    ...problem,
    emissions: round(emissions),
    transitions: round(transitions),
    start: round(start),
    end: round(end),
  };
}

export function offsetsOf(lengths: readonly number[]): number[] {
  const offsets = [0];
  for (const length of lengths) offsets.push((offsets.at(-1) as number) + length);
  return offsets;
}

/** Arguments of the operators: emissions, offsets, transitions, start, end. */
export function decodingArgs(problem: CrfProblem, dtype: Dtype = 'float64'): NativeOpTensor[] {
  const { K, lengths, emissions, transitions, start, end } = problem;
  return [
    tensor([emissions.length / K, K], emissions, dtype),
    int32(offsetsOf(lengths)),
    tensor([K, K], transitions, dtype),
    tensor([K], start, dtype),
    tensor([K], end, dtype),
  ];
}

/** Arguments of crf_nll. */
export function nllArgs(problem: CrfProblem, dtype: Dtype = 'float64'): NativeOpTensor[] {
  const [emissions, ...rest] = decodingArgs(problem, dtype);
  return [emissions, int32(problem.tags), ...rest];
}

export function pathScore(
  { K, emissions, transitions, start, end }: CrfProblem,
  first: number,
  path: number[],
): number {
  if (path.length === 0) return 0;
  let score = start[path[0]] + end[path[path.length - 1]];
  path.forEach((tag, t) => {
    score += emissions[(first + t) * K + tag];
    if (t > 0) score += transitions[path[t - 1] * K + tag];
  });
  return score;
}

export function logSumExp(values: readonly number[]): number {
  const largest = Math.max(...values);
  if (largest === Number.NEGATIVE_INFINITY) return largest;
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/** All K^T paths of a sentence with their scores. */
export function allPaths(problem: CrfProblem, sentence: number): { path: number[]; score: number }[] {
  const { K, lengths } = problem;
  const first = offsetsOf(lengths)[sentence];
  const T = lengths[sentence];
  return Array.from({ length: K ** T }, (_, number) => {
    const path = Array.from({ length: T }, (_, t) => Math.floor(number / K ** (T - 1 - t)) % K);
    return { path, score: pathScore(problem, first, path) };
  });
}

/** log Z by the forward recursion; with the maximum in place of the sum, the score of the best path. */
export function logPartition(
  { K, lengths, emissions, transitions, start, end }: CrfProblem,
  sentence: number,
  combine: (scores: readonly number[]) => number = logSumExp,
): number {
  const first = offsetsOf(lengths)[sentence];
  if (lengths[sentence] === 0) return 0;
  let alpha = start.map((score, j) => score + emissions[first * K + j]);
  for (let row = first + 1; row < first + lengths[sentence]; row += 1) {
    const before = alpha;
    alpha = Array.from(
      { length: K },
      (_, j) => combine(before.map((score, i) => score + transitions[i * K + j])) + emissions[row * K + j],
    );
  }
  return combine(alpha.map((score, j) => score + end[j]));
}

/** Random scores under the constraints of a scheme: forbidden moves at -infinity. */
export function constrain(
  problem: CrfProblem,
  allowed: { transitions: Uint8Array; starts: Uint8Array; ends: Uint8Array },
): CrfProblem {
  const mask = (scores: number[], table: Uint8Array) =>
    scores.map((score, index) => (table[index] ? score : Number.NEGATIVE_INFINITY));
  return {
    ...problem,
    transitions: mask(problem.transitions, allowed.transitions),
    start: mask(problem.start, allowed.starts),
    end: mask(problem.end, allowed.ends),
  };
}

export const seeded = (seed: number): Random => createRandom(seed);
