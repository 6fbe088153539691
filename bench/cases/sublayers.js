// What the encoder's sublayers do between their products, forwards and backwards: the activation, and the residual sum
// with its layer norm. Against torch's operators.

import { join } from 'node:path';
import { writeSafetensors } from '../../dist/albert/convert/safetensors.js';
import { loadNative } from '../../dist/lib/native/load.js';
import { createRandom } from '../../dist/lib/random.js';
import { narrow, norm, normals, rounded, widened } from '../problem.js';
import { timeOp } from '../timing.js';

const THREADS = 2;
const EPSILON = 1e-12;
/** The peers' gradients in bfloat16 are rounded on the way. */
const TOLERANCE = { float32: 1e-4, bfloat16: 2e-2 };

export default async function prepare({ quick, folder }) {
  const random = createRandom(5);
  const M = quick ? 5 : 2399;
  const D = quick ? 16 : 256;
  const F = 4 * D;
  const draw = (name, shape) => rounded(normals(random, name, shape));
  const sum = ['rows', 'added', 'grad_normed', 'grad_rounded'].map((name) => draw(name, [M, D]));
  const norms = [draw('scale', [D]), draw('bias', [D])];
  const activation = [draw('inner', [M, F]), draw('grad_inner', [M, F])];
  await writeSafetensors(join(folder, 'rows.safetensors'), [...sum, ...norms, ...activation]);

  const [rows, added, gradNormed, gradRounded] = sum;
  const measure = (dtype, { job, names, title, width, call }) => ({
    title: {
      en: `${title.en}, forwards and backwards, ${dtype}, two threads`,
      zh: `${title.zh}，前向与反向，${dtype}，双线程`,
    },
    shapes: { units: M, width, threads: THREADS },
    unit: 'units',
    units: M,
    tolerance: TOLERANCE[dtype],
    answer: () => {
      const { outputs, gradients } = loadNative()._callOp(...call);
      const norms = [...outputs, ...gradients].map((tensor) => norm(widened(tensor)));
      return Object.fromEntries(names.map((name, index) => [name, norms[index]]));
    },
    time: timeOp(...call, THREADS),
    peers: [
      { title: { en: 'torch', zh: 'torch' }, variants: [{ job: `${job} ${dtype}`, threads: THREADS }] },
    ],
  });
  const measures = ['float32', 'bfloat16'].flatMap((dtype) => {
    const as = (tensor) => (dtype === 'bfloat16' ? narrow(tensor) : tensor);
    // A sum with rows in bfloat16 is also given in bfloat16, for the next product.
    const copies = dtype === 'bfloat16' ? [as(gradRounded)] : [];
    return [
      measure(dtype, {
        job: 'add_norm',
        names: ['normed', ...copies.map(() => 'rounded'), 'd_rows', 'd_added', 'd_scale', 'd_bias'],
        title: { en: 'Residual sum and layer norm', zh: '残差相加与层归一化' },
        width: D,
        call: ['albert_ner::add_norm', [rows, as(added), ...norms, EPSILON, 0, 0], [gradNormed, ...copies]],
      }),
      measure(dtype, {
        job: 'gelu',
        names: ['output', 'd_inner'],
        title: { en: 'GELU by tanh', zh: 'GELU（tanh 近似）' },
        width: F,
        call: ['albert_ner::gelu_tanh', [as(activation[0])], [as(activation[1])]],
      }),
    ];
  });
  return { peer: 'sublayers.py', measures };
}
