/**
 * Prints what the float32 operators compute for ragged batches of several sizes, gradients included, as a JSON list of
 * tensors, each a list of numbers.
 */

import type { NativeOpTensor } from '../../../../lib/native/binding.js';
import { call } from '../../../support/crf-ops.js';
import {
  type CrfProblem,
  decodingArgs,
  nllArgs,
  randomProblem,
  seeded,
} from '../../../support/crf-reference.js';
import { lstmArgs, randomLstm } from '../../../support/lstm-problem.js';
import { addon, float16, normals, numbers, tensor } from '../../../support/native.js';
import { batchTensors, headTensors, randomTagger } from '../../../support/tagger-problem.js';

/** Tags and, of one in three others, which more are allowed. */
function allowed({ tags, K }: CrfProblem): NativeOpTensor {
  const values = tags.flatMap((tag, row) =>
    Array.from({ length: K }, (_, k) => Number(k === tag || (row + k) % 3 === 0)),
  );
  return { dtype: 'bool', shape: [tags.length, K], data: Uint8Array.from(values) };
}

const single = (shape: number[], values: number[]) => tensor(shape, values, 'float32');

function results([D, H, K]: [number, number, number]) {
  const random = seeded(D);
  const lengths = Array.from({ length: 37 }, () => random.int(30));
  const crf = randomProblem(random, { K, lengths });
  const ones = single([lengths.length], new Array<number>(lengths.length).fill(1));
  const [emissions, ...moves] = decodingArgs(crf, 'float32');
  const layer = randomLstm(D, lengths, D, H);
  const N = crf.tags.length;
  const tagger = randomTagger(D, lengths, [D, H, K]);
  const [features, ...batch] = batchTensors(tagger);
  const halves = float16(features.shape, features.data as Float32Array);
  const step = (rows: NativeOpTensor) =>
    addon._callOp('albert_ner::tagger_loss', [rows, ...batch, headTensors(tagger), 0.3, 5, true]);
  return [
    call('crf_nll', nllArgs(crf, 'float32'), [ones]),
    call('crf_partial_nll', [emissions, allowed(crf), ...moves], [ones]),
    call('crf_viterbi', decodingArgs(crf, 'float32')),
    call('crf_marginals', decodingArgs(crf, 'float32')),
    call('bilstm', lstmArgs(layer, 'float32'), [single([N, 2 * H], normals(random, N * 2 * H))]),
    step(features),
    step(halves),
    ...encoderOps(D, lengths, K),
  ];
}

/** Attention with K heads and the sum and norm behind it. */
function encoderOps(seed: number, lengths: number[], heads: number) {
  const random = seeded(seed);
  const D = heads * (1 + (seed % 20));
  const M = lengths.reduce((a, b) => a + b, 0);
  const rows = () => single([M, D], normals(random, M * D));
  const scale = () => single([D], normals(random, D));
  return [
    addon._callOp('albert_ner::attention', [rows(), rows(), rows(), lengths, heads], [rows()]),
    addon._callOp('albert_ner::gelu_tanh', [rows()], [rows()]),
    addon._callOp('albert_ner::add_norm', [rows(), rows(), scale(), scale(), 1e-5, 0.2, 3], [rows()]),
  ];
}

const SIZES: [number, number, number][] = [
  [37, 19, 11],
  [1, 1, 1],
  [16, 64, 33],
  [300, 7, 2],
];
const tensors = SIZES.flatMap(results).flatMap(({ outputs, gradients }) =>
  [...outputs, ...gradients].flatMap((value) => (value ? [numbers(value)] : [])),
);
console.log(JSON.stringify(tensors));
