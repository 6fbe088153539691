/** Calls of the emulated CRF kernels, and the arguments its private operators take. */

import type { NativeOpTensor } from '../../lib/native/binding.js';
import { type CrfProblem, decodingArgs, offsetsOf, seeded } from './crf-reference.js';
import { emulated } from './emulated-ops.js';
import { type Dtype, int32, tensor } from './native.js';

/** Weights of the sentences' losses. */
export const gradOf = ({ lengths }: CrfProblem, dtype: Dtype) =>
  tensor(
    [lengths.length],
    lengths.map((_, b) => 0.5 + b),
    dtype,
  );

/** nll and gradients by forward and backward of a private operator. */
export function lossAndGradients(
  name: string,
  args: NativeOpTensor[],
  grad: NativeOpTensor,
): (NativeOpTensor | null)[] {
  const [nll, ...saved] = emulated(`${name}_forward`, args);
  const gradients = emulated(`${name}_backward`, [grad, ...args, ...(saved as NativeOpTensor[])]);
  return [nll, ...gradients];
}

/** Partial annotations: half of the tags are allowed, those of the problem always. */
export function partialArgs(problem: CrfProblem, dtype: Dtype): NativeOpTensor[] {
  const [emissions, offsets, ...transitions] = decodingArgs(problem, dtype);
  const random = seeded(problem.K + 1);
  const allowed = Uint8Array.from(problem.emissions, () => random.int(2));
  problem.tags.forEach((tag, row) => {
    allowed[row * problem.K + tag] = 1;
  });
  return [emissions, { dtype: 'bool', shape: emissions.shape, data: allowed }, offsets, ...transitions];
}

/** The first row, all rows and the last row of each sentence as spans. */
export function spanArgs(problem: CrfProblem, dtype: Dtype): NativeOpTensor[] {
  const [emissions, offsets, ...transitions] = decodingArgs(problem, dtype);
  const starts = offsetsOf(problem.lengths);
  const spans = problem.lengths.flatMap((length, b) =>
    length === 0
      ? []
      : [
          [starts[b], starts[b] + 1],
          [starts[b], starts[b + 1]],
          [starts[b + 1] - 1, starts[b + 1]],
        ],
  );
  const continuation = Array.from({ length: problem.K }, (_, k) => (k % 3 === 0 ? -1 : k - 1));
  return [
    emissions,
    int32(problem.tags),
    offsets,
    int32(spans.flat(), [spans.length, 2]),
    int32(continuation),
    ...transitions,
  ];
}
