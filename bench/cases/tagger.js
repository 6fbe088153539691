// The head forwards and backwards in one operator — BiLSTM, linear layer and CRF — against a packed nn.LSTM, nn.Linear
// and pytorch-crf.

import { join } from 'node:path';
import { writeSafetensors } from '../../dist/albert/convert/safetensors.js';
import { loadNative } from '../../dist/lib/native/load.js';
import {
  bilstmOperations,
  bilstmWeights,
  crfWeights,
  msraBatch,
  norm,
  normals,
  sgemm,
  uniform,
} from '../problem.js';
import { timeOp } from '../timing.js';

const THREADS = 2;
const K = 9;

function randomHead(random, D, H) {
  const bound = 1 / Math.sqrt(2 * H);
  return [
    ...bilstmWeights(random, D, H),
    uniform(random, 'classifier.weight', [K, 2 * H], bound),
    uniform(random, 'classifier.bias', [K], bound),
    ...crfWeights(random, K),
  ];
}

export default async function prepare({ quick, folder }) {
  const H = quick ? 8 : 64;
  const measures = [];
  for (const D of quick ? [16] : [768, 312]) {
    const { random, N, lengths, offsets, tags } = msraBatch(quick, K);
    const features = normals(random, 'features', [N, D]);
    const head = randomHead(random, D, H);
    await writeSafetensors(join(folder, `d${D}.safetensors`), [lengths, tags, features, ...head]);
    const call = ['albert_ner::tagger_loss', [features, offsets, tags, head, 0, 1, false]];
    measures.push({
      title: {
        en: `BiLSTM, linear layer and CRF, forwards and backwards, D = ${D}, two threads`,
        zh: `BiLSTM、线性层与 CRF，前向与反向，D = ${D}，双线程`,
      },
      shapes: { sentences: lengths.data.length, units: N, features: D, hidden: H, tags: K, threads: THREADS },
      unit: 'units',
      units: N,
      answer: () => {
        const [loss, ...gradients] = loadNative()._callOp(...call).outputs;
        const norms = gradients.map((gradient, index) => [head[index].name, norm(gradient)]);
        return { loss: loss.data[0], ...Object.fromEntries(norms) };
      },
      time: timeOp(...call, null, THREADS),
      operations: bilstmOperations(N, D, H),
      limit: sgemm(quick, THREADS),
      peers: [
        {
          title: {
            en: 'nn.LSTM (packed), nn.Linear, pytorch-crf',
            zh: 'nn.LSTM（packed）、nn.Linear、pytorch-crf',
          },
          variants: ['packed', 'packed without oneDNN'].map((way) => ({
            job: `d${D} ${way}`,
            threads: THREADS,
          })),
        },
      ],
    });
  }
  return { peer: 'tagger.py', measures };
}
