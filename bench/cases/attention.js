// The encoder's attention forwards and backwards, on a ragged batch and on full sequences as pretraining packs them,
// against torch's scaled_dot_product_attention: padded with a mask, and sentence by sentence.

import { join } from 'node:path';
import { writeSafetensors } from '../../dist/albert/convert/safetensors.js';
import { loadNative } from '../../dist/lib/native/load.js';
import { createRandom } from '../../dist/lib/random.js';
import { int32, narrow, norm, normals, rounded, sentenceLengths, sum, widened } from '../problem.js';
import { timeOp } from '../timing.js';

const THREADS = 2;
/** The gradients of bfloat16 peers are rounded on the way. */
const TOLERANCE = { float32: 1e-4, bfloat16: 2e-2 };

export default async function prepare({ quick, folder }) {
  const random = createRandom(4);
  const heads = 4;
  const D = quick ? 16 : 256;
  const batches = [
    {
      name: 'ragged',
      title: { en: '64 sentences', zh: '64 个句子' },
      lengths: sentenceLengths(random, quick ? 3 : 64, quick ? 9 : 98),
    },
    {
      name: 'full',
      title: { en: '16 sequences of 128', zh: '16 个长度 128 的序列' },
      lengths: new Int32Array(quick ? 2 : 16).fill(quick ? 8 : 128),
    },
  ];
  const measures = [];
  for (const { name, title, lengths } of batches) {
    const M = sum(lengths);
    const rows = ['query', 'key', 'value', 'grad_output'].map((part) =>
      rounded(normals(random, part, [M, D])),
    );
    await writeSafetensors(join(folder, `${name}.safetensors`), [int32('lengths', lengths), ...rows]);
    for (const dtype of ['float32', 'bfloat16']) {
      const [query, key, value, gradOutput] = dtype === 'float32' ? rows : rows.map(narrow);
      const call = ['albert_ner::attention', [query, key, value, Array.from(lengths), heads], [gradOutput]];
      measures.push({
        title: {
          en: `Attention, forwards and backwards, ${title.en}, ${dtype}, two threads`,
          zh: `注意力，前向与反向，${title.zh}，${dtype}，双线程`,
        },
        shapes: { sentences: lengths.length, units: M, width: D, heads, threads: THREADS },
        unit: 'units',
        units: M,
        tolerance: TOLERANCE[dtype],
        answer: () => {
          const { outputs, gradients } = loadNative()._callOp(...call);
          const [output, ...d] = [outputs[0], ...gradients].map((tensor) => norm(widened(tensor)));
          return { output, query: d[0], key: d[1], value: d[2] };
        },
        time: timeOp(...call, THREADS),
        peers: [
          {
            title: {
              en: 'scaled_dot_product_attention, padded',
              zh: 'scaled_dot_product_attention（填充）',
            },
            variants: [{ job: `${name} ${dtype} padded`, threads: THREADS }],
          },
          {
            title: {
              en: 'scaled_dot_product_attention, sentence by sentence',
              zh: 'scaled_dot_product_attention（逐句）',
            },
            variants: [{ job: `${name} ${dtype} alone`, threads: THREADS }],
          },
        ],
      });
    }
  }
  return { peer: 'attention.py', measures };
}
