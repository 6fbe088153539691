/** Prints what the float32 operators compute for one ragged batch, gradients included, as a JSON list of numbers. */

import { call } from '../../../support/crf-ops.js';
import { decodingArgs, nllArgs, offsetsOf, randomProblem, seeded } from '../../../support/crf-reference.js';
import { addon, int32, normals, numbers, tensor } from '../../../support/native.js';

const random = seeded(2);
const lengths = Array.from({ length: 37 }, () => random.int(30));
const [D, H, K] = [37, 19, 11];
const problem = randomProblem(random, { K, lengths });
const N = problem.tags.length;
const shaped = (shape: number[]) => {
  const count = shape.reduce((product, size) => product * size, 1);
  return tensor(shape, normals(random, count, 0.3), 'float32');
};
const direction = [[4 * H, D], [4 * H, H], [4 * H], [4 * H]];
const lstm = [...direction, ...direction].map(shaped);
const features = shaped([N, D]);
const offsets = int32(offsetsOf(lengths));
const ones = tensor([lengths.length], new Array<number>(lengths.length).fill(1), 'float32');
const head = [...lstm, shaped([K, 2 * H]), shaped([K]), shaped([K, K]), shaped([K]), shaped([K])];
const results = [
  call('crf_nll', nllArgs(problem, 'float32'), [ones]),
  call('crf_viterbi', decodingArgs(problem, 'float32')),
  call('crf_marginals', decodingArgs(problem, 'float32')),
  addon._callOp('albert_ner::bilstm', [features, offsets, ...lstm], [shaped([N, 2 * H])]),
  addon._callOp('albert_ner::tagger_loss', [features, offsets, int32(problem.tags), head, 0.3, 5, true]),
];
const values = results.flatMap(({ outputs, gradients }) =>
  [...outputs, ...gradients].flatMap((value) => (value ? numbers(value) : [])),
);
console.log(JSON.stringify(values));
