// Batches and heads for the benchmarks of the tagger's parts, and the work they are.

import { createRandom } from '../dist/lib/random.js';
import { timeOp } from './timing.js';

/** Lengths of sentences of the MSRA corpus at 0, 1, 5, 10, … percent, clipped at 128. */
const PERCENTS = [
  0, 1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 97, 98, 98.5, 99, 100,
];
const LENGTHS = [
  8, 17, 20, 23, 25, 28, 30, 33, 35, 38, 40, 43, 46, 49, 53, 56, 61, 66, 74, 84, 99, 112, 124, 128, 128, 128,
];

function lengthAt(percent) {
  const upper = PERCENTS.findIndex((known) => known >= percent);
  const lower = Math.max(upper - 1, 0);
  const share = (percent - PERCENTS[lower]) / Math.max(PERCENTS[upper] - PERCENTS[lower], 1e-9);
  return LENGTHS[lower] + share * (LENGTHS[upper] - LENGTHS[lower]);
}

/** Lengths of `count` sentences spread as MSRA's are, shuffled; `longest` instead of 128 shrinks them all. */
export function sentenceLengths(random, count, longest = 128) {
  const lengths = Int32Array.from({ length: count }, (_, index) =>
    Math.max(1, Math.round((lengthAt((100 * (index + 0.5)) / count) * longest) / 128)),
  );
  return random.shuffle(lengths);
}

export const sum = (values) => values.reduce((total, value) => total + value, 0);

export const norm = ({ data }) => Math.sqrt(data.reduce((total, value) => total + value * value, 0));

const elements = (shape) => shape.reduce((product, size) => product * size, 1);

/** A tensor for an operator and for a safetensors file. */
export function single(name, shape, value) {
  return { name, dtype: 'float32', shape, data: Float32Array.from({ length: elements(shape) }, value) };
}

export function int32(name, data) {
  return { name, dtype: 'int32', shape: [data.length], data };
}

/** Normal numbers by Box and Muller. */
export function normals(random, name, shape) {
  const normal = () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  return single(name, shape, normal);
}

/** With the float32 numbers that bfloat16 has too, so that both types get the same ones. */
export function rounded(tensor) {
  const bits = new Uint32Array(tensor.data.buffer);
  for (const [k, value] of bits.entries()) bits[k] = value & 0xffff0000;
  return tensor;
}

/** A rounded tensor in bfloat16. */
export function narrow({ shape, data }) {
  const bits = new Uint32Array(data.buffer);
  return { dtype: 'bfloat16', shape, data: Uint16Array.from(bits, (value) => value >>> 16) };
}

export function widened({ dtype, data }) {
  if (dtype !== 'bfloat16') return { data };
  return { data: new Float32Array(Uint32Array.from(data, (value) => value * 0x10000).buffer) };
}

export function uniform(random, name, shape, bound) {
  return single(name, shape, () => bound * (2 * random.next() - 1));
}

export function bilstmWeights(random, D, H) {
  const weight = (name, shape) => uniform(random, `bilstm.${name}`, shape, 1 / Math.sqrt(H));
  return ['', '_reverse'].flatMap((suffix) => [
    weight(`weight_ih_l0${suffix}`, [4 * H, D]),
    weight(`weight_hh_l0${suffix}`, [4 * H, H]),
    weight(`bias_ih_l0${suffix}`, [4 * H]),
    weight(`bias_hh_l0${suffix}`, [4 * H]),
  ]);
}

export function crfWeights(random, K) {
  return [
    uniform(random, 'crf.transitions', [K, K], 1),
    uniform(random, 'crf.start_transitions', [K], 1),
    uniform(random, 'crf.end_transitions', [K], 1),
  ];
}

/** Lengths and offsets of a batch and a random tag for every row. */
export function randomBatch(random, lengths, K) {
  const offsets = Int32Array.from({ length: lengths.length + 1 }, (_, index) =>
    sum(lengths.subarray(0, index)),
  );
  return {
    N: sum(lengths),
    lengths: int32('lengths', lengths),
    offsets: int32('offsets', offsets),
    tags: int32(
      'tags',
      Int32Array.from({ length: sum(lengths) }, () => random.int(K)),
    ),
  };
}

/** The batch all cases of the BiLSTM share, of `quick` size or of 64 sentences. */
export function msraBatch(quick, K) {
  const random = createRandom(1);
  return { random, ...randomBatch(random, sentenceLengths(random, quick ? 3 : 64, quick ? 9 : 128), K) };
}

/**
 * Floating point operations of the BiLSTM forwards and backwards without the gradient of its features: twice the
 * projection of the features, three times the recurrence. What the linear layer and the CRF add is left out.
 */
export function bilstmOperations(N, D, H) {
  const projection = 2 * D * 8 * H;
  const recurrence = 2 * 2 * H * 4 * H;
  return N * (2 * projection + 3 * recurrence);
}

/** libtorch's product of matrices of this size is the limit that shares refer to. */
export function sgemm(quick, threads) {
  const [M, N, K] = quick ? [8, 8, 8] : [2880, 768, 768];
  const random = createRandom(2);
  const args = [uniform(random, 'a', [M, K], 1), uniform(random, 'b', [K, N], 1)];
  return { operations: 2 * M * N * K, time: timeOp('aten::mm', args, null, threads) };
}
