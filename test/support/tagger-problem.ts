/** Random problems for the fused training operator, and the operator itself. */

import type { NativeOpTensor } from '../../lib/native/binding.js';
import { offsetsOf, seeded } from './crf-reference.js';
import { addon, int32, normals, numbers, tensor } from './native.js';

export interface TaggerProblem {
  lengths: number[];
  D: number;
  features: number[];
  tags: number[];
  shapes: number[][];
  /** In the order of the operator. */
  head: number[][];
}

export interface TaggerStep {
  loss: number;
  /** In the order of the head's tensors. */
  gradients: number[][];
  featuresGradient?: number[];
}

export function randomTagger(
  seed: number,
  lengths: number[],
  [D, H, K]: [number, number, number],
): TaggerProblem {
  const random = seeded(seed);
  const N = lengths.reduce((sum, length) => sum + length, 0);
  const direction = [[4 * H, D], [4 * H, H], [4 * H], [4 * H]];
  const shapes = [...direction, ...direction, [K, 2 * H], [K], [K, K], [K], [K]];
  return {
    lengths,
    D,
    features: normals(random, N * D),
    tags: Array.from({ length: N }, () => random.int(K)),
    shapes,
    head: shapes.map((shape) =>
      normals(
        random,
        shape.reduce((product, size) => product * size, 1),
        0.3,
      ),
    ),
  };
}

export const single = (shape: number[], values: number[]) => tensor(shape, values, 'float32');

export const headTensors = ({ shapes, head }: TaggerProblem) =>
  shapes.map((shape, index) => single(shape, head[index]));

/** Features, offsets and tags. */
export function batchTensors({ lengths, D, features, tags }: TaggerProblem): NativeOpTensor[] {
  return [single([tags.length, D], features), int32(offsetsOf(lengths)), int32(tags)];
}

export interface TaggerOptions {
  dropout?: number;
  seed?: number;
  featuresGrad?: boolean;
  /** Instead of the problem's. */
  features?: NativeOpTensor;
}

export function taggerLoss(problem: TaggerProblem, options: TaggerOptions = {}): TaggerStep {
  const { dropout = 0, seed = 1, featuresGrad = false } = options;
  const [features, offsets, tags] = batchTensors(problem);
  const { outputs } = addon._callOp('albert_ner::tagger_loss', [
    options.features ?? features,
    offsets,
    tags,
    headTensors(problem),
    dropout,
    seed,
    featuresGrad,
  ]);
  const [loss, ...rest] = outputs.map(numbers);
  return { loss: loss[0], gradients: rest.slice(0, 13), featuresGradient: rest[13] };
}
