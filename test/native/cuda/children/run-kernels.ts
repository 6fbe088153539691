/** Runs every kernel of a library with emulated operators on small ragged batches: for AddressSanitizer to watch. */

import { decodingArgs, nllArgs, randomProblem, seeded } from '../../../support/crf-reference.js';
import { loadEmulated } from '../../../support/cuda-emulator.js';
import { outputAndGradients, randomLstm } from '../../../support/emulated-bilstm.js';
import { gradOf, lossAndGradients, partialArgs, spanArgs } from '../../../support/emulated-crf.js';
import { emulated } from '../../../support/emulated-ops.js';

const LENGTHS = [3, 0, 1, 6];

loadEmulated(process.argv[2]);
for (const K of [1, 9, 33, 65]) {
  const problem = randomProblem(seeded(K), { K, lengths: LENGTHS });
  const grad = gradOf(problem, 'float32');
  lossAndGradients('crf_nll', nllArgs(problem, 'float32'), grad);
  lossAndGradients('crf_partial_nll', partialArgs(problem, 'float32'), grad);
  emulated('crf_viterbi', decodingArgs(problem, 'float32'));
  emulated('crf_nbest', [...decodingArgs(problem, 'float32'), 3]);
  emulated('crf_marginals', decodingArgs(problem, 'float32'));
  emulated('crf_span_posterior', spanArgs(problem, 'float32'));
}
for (const H of [3, 64, 70]) outputAndGradients(randomLstm(H, 'float32', LENGTHS));
console.log('done');
