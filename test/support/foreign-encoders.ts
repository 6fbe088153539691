/** Golden encoders under the names and in the files of other programs. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsHeader, readTensor } from '../../albert/convert/safetensors.js';
import { createRandom } from '../../lib/random.js';
import { fixture } from './paths.js';
import { storage, type TorchTensor } from './pytorch-writer.js';
import type { BundleTensor } from './tf-bundle-writer.js';

export interface PlainTensor {
  name: string;
  shape: number[];
  data: Float32Array;
}

/** Canonical tensors of a golden encoder, without its pooler. */
export async function goldenTensors(name: string): Promise<PlainTensor[]> {
  const file = join(fixture('albert', name), 'model.safetensors');
  const { tensors } = await readSafetensorsHeader(file);
  const wanted = tensors.filter((tensor) => !tensor.name.startsWith('pooler.'));
  return Promise.all(
    wanted.map(async (tensor) => ({
      name: tensor.name,
      shape: tensor.shape,
      data: await readTensor(file, tensor),
    })),
  );
}

export async function goldenConfig(name: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(fixture('albert', name), 'config.json'), 'utf8'));
}

/** Sequences and the hidden states they must give. */
export async function goldenStates(name: string): Promise<{ sequences: number[][]; hidden: number[][] }> {
  return JSON.parse(await readFile(join(fixture('albert', name), 'expected.json'), 'utf8'));
}

export function transpose({ shape, data }: Pick<PlainTensor, 'shape' | 'data'>): Float32Array {
  const [rows, columns] = shape;
  return Float32Array.from(data, (_, k) => data[(k % rows) * columns + Math.floor(k / rows)]);
}

/** Share types of the bright program: which parts of a layer have weights of their own in each layer. */
export type Sharing = 'all' | 'attention' | 'ffn' | 'none';

const LAYER = /^encoder\.albert_layer_groups\.(\d+)\.albert_layers\.0\.(.+)\.(weight|bias)$/;

const GOOGLE: Record<string, string> = {
  'attention.query': 'attention_1/self/query',
  'attention.key': 'attention_1/self/key',
  'attention.value': 'attention_1/self/value',
  'attention.dense': 'attention_1/output/dense',
  'attention.LayerNorm': 'LayerNorm',
  ffn: 'ffn_1/intermediate/dense',
  ffn_output: 'ffn_1/intermediate/output/dense',
  full_layer_layer_norm: 'LayerNorm_1',
};

const BRIGHT: Record<string, string> = {
  'attention.query': 'attention/self/query',
  'attention.key': 'attention/self/key',
  'attention.value': 'attention/self/value',
  'attention.dense': 'attention/output/dense',
  'attention.LayerNorm': 'attention/output/LayerNorm',
  ffn: 'intermediate/dense',
  ffn_output: 'output/dense',
  full_layer_layer_norm: 'output/LayerNorm',
};

/** Path of a part of a layer in TensorFlow's bright program; null where a shared part was written before. */
function brightPath(group: number, part: string, sharing: Sharing): string | null {
  const path = BRIGHT[part];
  const isShared = sharing === 'all' || sharing === (path.startsWith('attention') ? 'attention' : 'ffn');
  if (isShared) return group === 0 ? `bert/encoder/layer_shared/${path}` : null;
  if (sharing === 'none') return `bert/encoder/layer_${group}/${path}`;
  const [scope, ...rest] = path.split('/');
  return [`bert/encoder/layer_shared/${scope}_${group}`, ...rest].join('/');
}

function layerPath(
  tensor: string,
  sharing: Sharing | 'google',
): { path: string; kind: string; isNorm: boolean } | null {
  const [, group, part, kind] = LAYER.exec(tensor) as unknown as [string, string, string, string];
  const isNorm = /norm/i.test(part);
  const path =
    sharing === 'google'
      ? `bert/encoder/transformer/group_${group}/inner_group_0/${GOOGLE[part]}`
      : brightPath(Number(group), part, sharing);
  return path === null ? null : { path, kind, isNorm };
}

/** Name of a tensor that isn't in a layer, and whether it is stored transposed. */
function outerName(name: string): { path: string; transposed: boolean } {
  const kind = name.split('.').at(-1) === 'weight';
  if (name.startsWith('embeddings.LayerNorm')) {
    return { path: `bert/embeddings/LayerNorm/${kind ? 'gamma' : 'beta'}`, transposed: false };
  }
  if (name.startsWith('embeddings.')) {
    const table = name.split('.')[1];
    return { path: `bert/embeddings/${table}`, transposed: table === 'word_embeddings_2' };
  }
  return { path: `bert/encoder/embedding_hidden_mapping_in/${kind ? 'kernel' : 'bias'}`, transposed: kind };
}

/** Name in a TensorFlow checkpoint; null where a shared part was named before. */
function nameUnder(name: string, sharing: Sharing | 'google'): { path: string; transposed: boolean } | null {
  if (!LAYER.test(name)) return outerName(name);
  const place = layerPath(name, sharing);
  if (place === null) return null;
  const { path, kind, isNorm } = place;
  if (isNorm) return { path: `${path}/${kind === 'weight' ? 'gamma' : 'beta'}`, transposed: false };
  return { path: `${path}/${kind === 'weight' ? 'kernel' : 'bias'}`, transposed: kind === 'weight' };
}

/** Name in a TensorFlow checkpoint whose layers share everything. */
export function tensorFlowName(
  name: string,
  layout: 'google' | 'bright',
): { path: string; transposed: boolean } {
  return nameUnder(name, layout === 'google' ? 'google' : 'all') as { path: string; transposed: boolean };
}

/** As Google's and brightmart's TensorFlow programs store it. */
export function toTensorFlow(tensors: readonly PlainTensor[], sharing: Sharing | 'google'): BundleTensor[] {
  return tensors.flatMap(({ name, shape, data }): BundleTensor[] => {
    const place = nameUnder(name, sharing);
    if (place === null) return [];
    const { path, transposed } = place;
    return [
      transposed
        ? { name: path, shape: [...shape].reverse(), data: transpose({ shape, data }) }
        : { name: path, shape, data },
    ];
  });
}

/** Weights, pooler, heads and optimizer slots that a checkpoint of training holds, too. */
export function withTraining(tensors: readonly BundleTensor[]): BundleTensor[] {
  const slots = tensors.flatMap((tensor) =>
    ['adam_m', 'adam_v'].map((slot) => ({ ...tensor, name: `${tensor.name}/${slot}` })),
  );
  const one = { shape: [1], data: Float32Array.of(1) };
  const more = [
    'bert/pooler/dense/kernel',
    'cls/predictions/output_bias',
    'cls/seq_relationship/output_weights',
  ];
  const step = { name: 'global_step', shape: [], data: BigInt64Array.of(7n) };
  return [...tensors, ...slots, ...more.map((name) => ({ name, ...one })), step];
}

/** As PyTorch programs name what they converted from TensorFlow. */
export function toPyTorchNames(tensors: readonly PlainTensor[], sharing: Sharing | 'google'): PlainTensor[] {
  const flat = tensors.flatMap((tensor): PlainTensor[] => {
    if (!LAYER.test(tensor.name)) return [{ ...tensor, name: `bert.${tensor.name}` }];
    const place = layerPath(tensor.name, sharing);
    if (place === null) return [];
    const path = place.path
      .replace(/(attention|ffn)_1\//, '$1/')
      .replace(/(layer|group|attention|intermediate|output)_(\d+)/g, '$1/$2')
      .replace(/\//g, '.');
    return [{ ...tensor, name: `${path}.${place.kind}` }];
  });
  return flat;
}

/** Matrices of linear layers lie transposed, as in files that were converted from TensorFlow. */
export function toTorch(tensors: readonly PlainTensor[], { strided = true } = {}): TorchTensor[] {
  return tensors.map(({ name, shape, data }) => {
    const isLinear =
      shape.length === 2 && !/embeddings\.(word|position|token_type)_embeddings\.weight$/.test(name);
    if (!strided || !isLinear) {
      const stride = shape.map((_, dim) => shape.slice(dim + 1).reduce((a, b) => a * b, 1));
      return { name, storage: storage('FloatStorage', data), size: shape, stride };
    }
    return {
      name,
      storage: storage('FloatStorage', transpose({ shape, data })),
      size: shape,
      stride: [1, shape[0]],
    };
  });
}

/** Random weights of these shapes. */
export function randomTensors(shapes: Iterable<[string, readonly number[]]>, seed: number): PlainTensor[] {
  const random = createRandom(seed);
  return [...shapes].map(([name, shape]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const centre = /norm\.weight$/i.test(name) ? 1 : 0;
    const data = Float32Array.from({ length: count }, () => centre + 0.7 * (random.next() - 0.5));
    return { name, shape: [...shape], data };
  });
}
