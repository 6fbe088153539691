/** The encoder the slow and obvious way: scalars in float64, one sequence. */

import type { EncoderConfig } from '../../albert/encoder-config.js';
import type { PlainTensor } from './foreign-encoders.js';

type Rows = number[][];

const add = (a: Rows, b: Rows): Rows => a.map((row, i) => row.map((value, j) => value + b[i][j]));

/** Abramowitz and Stegun 7.1.5: the power series, exact enough in float64 for |x| < 6. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n += 1) {
    term *= -(x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const ACTIVATIONS: Record<EncoderConfig['activation'], (x: number) => number> = {
  gelu_erf: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  relu: (x) => Math.max(x, 0),
  silu: (x) => x / (1 + Math.exp(-x)),
};

/** Hidden states of the second-to-last layer, all rows. `ids` with [CLS] and [SEP]. */
export function referenceStates(
  config: EncoderConfig,
  tensors: readonly PlainTensor[],
  ids: readonly number[],
): Rows {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const table = (name: string, row: number): number[] => {
    const { shape, data } = byName.get(name) as PlainTensor;
    return [...data.subarray(row * shape[1], (row + 1) * shape[1])];
  };
  const linear = (x: Rows, name: string, bias = true): Rows => {
    const { shape, data } = byName.get(`${name}.weight`) as PlainTensor;
    const offset = bias ? (byName.get(`${name}.bias`) as PlainTensor).data : new Float32Array(shape[0]);
    return x.map((row) =>
      Array.from({ length: shape[0] }, (_, out) =>
        row.reduce((sum, value, k) => sum + value * data[out * shape[1] + k], offset[out]),
      ),
    );
  };
  const norm = (x: Rows, name: string): Rows => {
    const [scale, offset] = ['weight', 'bias'].map(
      (kind) => (byName.get(`${name}.${kind}`) as PlainTensor).data,
    );
    return x.map((row) => {
      const mean = row.reduce((a, b) => a + b, 0) / row.length;
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
      return row.map(
        (value, k) => ((value - mean) / Math.sqrt(variance + config.layerNormEps)) * scale[k] + offset[k],
      );
    });
  };
  const attention = (x: Rows, layer: string): Rows => {
    const [query, key, value] = ['query', 'key', 'value'].map((part) =>
      linear(x, `${layer}attention.${part}`),
    );
    const size = config.hiddenSize / config.headCount;
    const mixed = x.map((_, i) =>
      Array.from({ length: config.headCount }, (_, head) => {
        const part = (row: number[]) => row.slice(head * size, (head + 1) * size);
        const scores = key.map(
          (row) => part(row).reduce((sum, k, j) => sum + k * part(query[i])[j], 0) / Math.sqrt(size),
        );
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((a, b) => a + b, 0);
        return part(value[0]).map((_, j) =>
          weights.reduce((sum, weight, t) => sum + (weight / total) * part(value[t])[j], 0),
        );
      }).flat(),
    );
    return linear(mixed, `${layer}attention.dense`);
  };
  const feedForward = (x: Rows, layer: string): Rows =>
    linear(
      linear(x, `${layer}ffn`).map((row) => row.map(ACTIVATIONS[config.activation])),
      `${layer}ffn_output`,
    );

  const words = ids.map((id) => table('embeddings.word_embeddings.weight', id));
  const places = ids.map((_, position) =>
    table('embeddings.position_embeddings.weight', position).map(
      (value, k) => value + table('embeddings.token_type_embeddings.weight', 0)[k],
    ),
  );
  const bright = config.layout === 'bright';
  let x = bright ? linear(words, 'embeddings.word_embeddings_2', false) : words;
  x = norm(add(x, places), 'embeddings.LayerNorm');
  if (!bright) x = linear(x, 'encoder.embedding_hidden_mapping_in');
  for (let number = 0; number < config.layerCount - 1; number += 1) {
    const group = Math.floor((number * config.groupCount) / config.layerCount);
    const layer = `encoder.albert_layer_groups.${group}.albert_layers.0.`;
    const [first, second] = [`${layer}attention.LayerNorm`, `${layer}full_layer_layer_norm`];
    if (config.layerNormPlacement === 'post') {
      x = norm(add(x, attention(x, layer)), first);
      x = norm(add(x, feedForward(x, layer)), second);
    } else {
      x = add(x, attention(norm(x, first), layer));
      x = add(x, feedForward(norm(x, second), layer));
    }
  }
  return x;
}
