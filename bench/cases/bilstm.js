// The BiLSTM forwards and backwards, without the gradient of its features, against a packed nn.LSTM and against a loop
// of plain torch operators over the steps.

import { join } from 'node:path';
import { writeSafetensors } from '../../dist/albert/convert/safetensors.js';
import { loadNative } from '../../dist/lib/native/load.js';
import { bilstmOperations, bilstmWeights, msraBatch, norm, normals, sgemm } from '../problem.js';
import { timeOp } from '../timing.js';

const THREADS = 2;

export default async function prepare({ quick, folder }) {
  const H = quick ? 8 : 64;
  const measures = [];
  for (const D of quick ? [16] : [768, 312]) {
    const { random, N, lengths, offsets } = msraBatch(quick, 1);
    const features = normals(random, 'features', [N, D]);
    const weights = bilstmWeights(random, D, H);
    const gradOutput = normals(random, 'grad_output', [N, 2 * H]);
    await writeSafetensors(join(folder, `d${D}.safetensors`), [lengths, features, gradOutput, ...weights]);
    const call = ['albert_ner::bilstm', [{ ...features, constant: true }, offsets, ...weights], [gradOutput]];
    measures.push({
      title: {
        en: `BiLSTM, forwards and backwards, D = ${D}, two threads`,
        zh: `BiLSTM，前向与反向，D = ${D}，双线程`,
      },
      shapes: { sentences: lengths.data.length, units: N, features: D, hidden: H, threads: THREADS },
      unit: 'units',
      units: N,
      answer: () => {
        const { outputs, gradients } = loadNative()._callOp(...call);
        const norms = gradients.map((gradient, index) => [weights[index].name, norm(gradient)]);
        return { output: norm(outputs[0]), ...Object.fromEntries(norms) };
      },
      time: timeOp(...call, THREADS),
      operations: bilstmOperations(N, D, H),
      limit: sgemm(quick, THREADS),
      peers: [
        {
          title: { en: 'nn.LSTM, packed', zh: 'nn.LSTM（packed）' },
          variants: ['packed', 'packed without oneDNN'].map((way) => ({
            job: `d${D} ${way}`,
            threads: THREADS,
          })),
        },
        {
          title: { en: 'plain torch operators', zh: 'torch 基本算子' },
          variants: [{ job: `d${D} plain`, threads: THREADS }],
        },
      ],
    });
  }
  return { peer: 'bilstm.py', measures };
}
