/** Calls of the emulated BiLSTM kernels, and problems for them. */

import type { NativeOpTensor } from '../../lib/native/binding.js';
import { offsetsOf, seeded } from './crf-reference.js';
import { emulated } from './emulated-ops.js';
import { type Dtype, int32, normals, tensor } from './native.js';

/** Width of the features. */
export const FEATURES = 5;

export interface LstmProblem {
  /** Of bilstm: features, offsets, then w_ih, w_hh, b_ih, b_hh of each direction. */
  args: NativeOpTensor[];
  gradOutput: NativeOpTensor;
}

export function randomLstm(H: number, dtype: Dtype, lengths: number[]): LstmProblem {
  const random = seeded(H);
  const N = lengths.reduce((sum, length) => sum + length, 0);
  const normal = (shape: number[], deviation: number) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return tensor(shape, normals(random, count, deviation), dtype);
  };
  const direction = () =>
    [[4 * H, FEATURES], [4 * H, H], [4 * H], [4 * H]].map((shape) => normal(shape, 0.3));
  return {
    args: [normal([N, FEATURES], 1), int32(offsetsOf(lengths)), ...direction(), ...direction()],
    gradOutput: normal([N, 2 * H], 1),
  };
}

/** Output and gradients by forward and backward of the kernels: features, then w_ih, w_hh, bias twice. */
export function outputAndGradients(
  { args, gradOutput }: LstmProblem,
  featuresGrad = true,
): (NativeOpTensor | null)[] {
  const [features, offsets, wIh, wHh, , , wIhReverse, wHhReverse] = args;
  const saved = emulated('bilstm_forward', [...args, true]) as NativeOpTensor[];
  const gradients = emulated('bilstm_backward', [
    gradOutput,
    features,
    offsets,
    ...[wIh, wHh, wIhReverse, wHhReverse],
    ...saved,
    featuresGrad,
  ]);
  return [saved[0], ...gradients];
}
