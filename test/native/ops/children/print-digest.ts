/** Prints a digest of every bit the operators compute for one ragged batch, gradients included. */

import { createHash } from 'node:crypto';
import { call } from '../../../support/crf-ops.js';
import { decodingArgs, nllArgs, offsetsOf, randomProblem, seeded } from '../../../support/crf-reference.js';
import { addon, int32, normals, tensor } from '../../../support/native.js';
import { batchTensors, headTensors, randomTagger } from '../../../support/tagger-problem.js';

const random = seeded(1);
const lengths = Array.from({ length: 61 }, () => random.int(40));
const problem = randomProblem(random, { K: 9, lengths });
const N = problem.tags.length;
const D = 24;
const H = 16;
const shapes = [[4 * H, D], [4 * H, H], [4 * H], [4 * H]];
const weights = [...shapes, ...shapes].map((shape) => {
  const count = shape.reduce((product, size) => product * size, 1);
  return tensor(shape, normals(random, count, 0.3), 'float32');
});
const tagger = randomTagger(3, lengths, [D, H, 9]);
const ones = tensor([lengths.length], new Array<number>(lengths.length).fill(1), 'float32');
const rows = () => tensor([N, D], normals(random, N * D), 'float32');
/** Enough for several threads. */
const large = () => tensor([200, 500], normals(random, 100_000), 'float32');
const scale = tensor([D], normals(random, D), 'float32');
const results = [
  call('crf_nll', nllArgs(problem, 'float32'), [ones]),
  call('crf_viterbi', decodingArgs(problem, 'float32')),
  call('crf_marginals', decodingArgs(problem, 'float32')),
  addon._callOp(
    'albert_ner::bilstm',
    [tensor([N, D], normals(random, N * D), 'float32'), int32(offsetsOf(lengths)), ...weights],
    [tensor([N, 2 * H], normals(random, N * 2 * H), 'float32')],
  ),
  addon._callOp('albert_ner::tagger_loss', [...batchTensors(tagger), headTensors(tagger), 0.3, 5, true]),
  addon._callOp('albert_ner::attention', [rows(), rows(), rows(), lengths, 3], [rows()]),
  addon._callOp('albert_ner::add_norm', [rows(), rows(), scale, scale, 1e-5, 0.2, 3], [rows()]),
  addon._callOp('albert_ner::gelu_tanh', [large()], [large()]),
];
const digest = createHash('sha256');
for (const { outputs, gradients } of results) {
  for (const value of [...outputs, ...gradients]) if (value) digest.update(value.data as Float32Array);
}
console.log(digest.digest('hex'));
