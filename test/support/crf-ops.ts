/** The CRF operators by their short names, on the problems of crf-reference. */

import type { NativeOpTensor } from '../../lib/native/binding.js';
import { type CrfProblem, decodingArgs, nllArgs } from './crf-reference.js';
import { addon, type Dtype, int32, numbers, tensor } from './native.js';

export const call = (op: string, args: (NativeOpTensor | null)[], grads?: NativeOpTensor[]) =>
  addon._callOp(`albert_ner::${op}`, args, grads);

export const nll = (problem: CrfProblem, dtype: Dtype = 'float64') =>
  numbers(call('crf_nll', nllArgs(problem, dtype)).outputs[0]);

/** Gradients of sum_b weight_b nll_b in emissions, transitions, start, end. */
export function gradients(problem: CrfProblem, weights: number[], dtype: Dtype = 'float64'): number[][] {
  const seed = tensor([weights.length], weights, dtype);
  return call('crf_nll', nllArgs(problem, dtype), [seed]).gradients.map(numbers);
}

export function viterbi(problem: CrfProblem, dtype: Dtype = 'float64') {
  const [tags, score] = call('crf_viterbi', decodingArgs(problem, dtype)).outputs.map(numbers);
  return { tags, score };
}

export function marginals(problem: CrfProblem, dtype: Dtype = 'float64') {
  const [values, logZ] = call('crf_marginals', decodingArgs(problem, dtype)).outputs.map(numbers);
  return { values, logZ };
}

export function spanPosteriors(
  problem: CrfProblem,
  path: number[],
  spans: number[][],
  continuation: number[],
): number[] {
  const [emissions, offsets, ...transitions] = decodingArgs(problem);
  const args = [
    emissions,
    int32(path),
    offsets,
    int32(spans.flat(), [spans.length, 2]),
    int32(continuation),
    ...transitions,
  ];
  return numbers(call('crf_span_posterior', args).outputs[0]);
}
