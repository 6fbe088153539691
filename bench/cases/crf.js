// The CRF on one thread against pytorch-crf and against a loop over sentences and steps: loss with gradient, best path.

import { join } from 'node:path';
import { writeSafetensors } from '../../dist/albert/convert/safetensors.js';
import { loadNative } from '../../dist/lib/native/load.js';
import { createRandom } from '../../dist/lib/random.js';
import { crfWeights, norm, normals, randomBatch, sentenceLengths, single, sum } from '../problem.js';
import { timeOp } from '../timing.js';

const THREADS = 1;

function peersOf(job) {
  return [
    {
      title: { en: 'pytorch-crf', zh: 'pytorch-crf' },
      variants: [1, 2].map((threads) => ({ job: `${job} pytorch-crf`, threads })),
    },
    {
      title: { en: 'sentence by sentence, step by step', zh: '逐句逐步循环' },
      variants: [1, 2].map((threads) => ({ job: `${job} loop`, threads })),
    },
  ];
}

/** Stands above the table as long as prediction calls another function than the one that is timed. */
const BEST_PATH = {
  en: 'Best path: of float32, which only this benchmark calls; prediction takes that of float64 in log space.',
  zh: '最优路径：测的是 float32 版本，只有本基准测试调用它；预测用的是对数空间的 float64 版本。',
};

function measuresOf(K, { N, lengths, offsets, tags, emissions, moves }) {
  const nll = ['albert_ner::crf_nll', [emissions, tags, offsets, ...moves]];
  const weights = [single('weights', [lengths.data.length], () => 1 / N)];
  const viterbi = ['albert_ner::crf_viterbi', [emissions, offsets, ...moves]];
  const common = {
    shapes: { sentences: lengths.data.length, units: N, tags: K, threads: THREADS },
    unit: 'units',
    units: N,
  };
  return [
    {
      ...common,
      title: { en: `CRF, loss and gradient, K = ${K}, one thread`, zh: `CRF，损失与梯度，K = ${K}，单线程` },
      answer: () => {
        const { outputs, gradients } = loadNative()._callOp(...nll, weights);
        const [emissionsNorm, transitions, start, end] = gradients.map(norm);
        return { loss: sum(outputs[0].data) / N, emissions: emissionsNorm, transitions, start, end };
      },
      time: timeOp(...nll, weights, THREADS),
      peers: peersOf(`k${K} loss`),
    },
    {
      ...common,
      title: {
        en: `CRF, best path in float32, K = ${K}, one thread`,
        zh: `CRF，最优路径（float32），K = ${K}，单线程`,
      },
      note: BEST_PATH,
      answer: () => ({ score: sum(loadNative()._callOp(...viterbi).outputs[1].data) }),
      time: timeOp(...viterbi, null, THREADS),
      peers: peersOf(`k${K} path`),
    },
  ];
}

export default async function prepare({ quick, folder }) {
  const measures = [];
  for (const K of quick ? [3] : [9, 40]) {
    const random = createRandom(K);
    const batch = randomBatch(random, sentenceLengths(random, quick ? 3 : 64, quick ? 9 : 98), K);
    const emissions = normals(random, 'emissions', [batch.N, K]);
    const moves = crfWeights(random, K);
    await writeSafetensors(join(folder, `k${K}.safetensors`), [
      batch.lengths,
      batch.tags,
      emissions,
      ...moves,
    ]);
    measures.push(...measuresOf(K, { ...batch, emissions, moves }));
  }
  return { peer: 'crf.py', measures };
}
