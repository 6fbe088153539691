/** The encoder's operators in plain loops and float64. */

export interface AddNormProblem {
  M: number;
  D: number;
  /** [M, D] */
  rows: number[];
  /** [M, D] */
  added: number[];
  /** [D] */
  scale: number[];
  /** [D] */
  bias: number[];
  eps: number;
  dropout: number;
  seed: number;
}

const MASK = (1n << 64n) - 1n;

/** Factors of dropout: sixteen bits of splitmix64 each, four in a draw. */
export function dropoutFactors(count: number, probability: number, seed: number): number[] {
  const dropped = BigInt(Math.round(probability * 65536));
  return Array.from({ length: count }, (_, element) => {
    let bits = (BigInt(seed) + BigInt((element >> 2) + 1) * 0x9e3779b97f4a7c15n) & MASK;
    bits = ((bits ^ (bits >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    bits = ((bits ^ (bits >> 27n)) * 0x94d049bb133111ebn) & MASK;
    bits ^= bits >> 31n;
    return ((bits >> BigInt(16 * (element % 4))) & 0xffffn) < dropped ? 0 : 1 / (1 - probability);
  });
}

/** Layer norm of rows + dropout(added), [M, D]. */
export function addNorm({ M, D, rows, added, scale, bias, eps, dropout, seed }: AddNormProblem): number[] {
  const factors = dropoutFactors(M * D, dropout, seed);
  const sums = rows.map((value, k) => value + added[k] * factors[k]);
  return Array.from({ length: M }, (_, row) => {
    const sum = sums.slice(row * D, (row + 1) * D);
    const mean = sum.reduce((a, b) => a + b, 0) / D;
    const variance = sum.reduce((total, value) => total + (value - mean) ** 2, 0) / D;
    return sum.map((value, d) => ((value - mean) / Math.sqrt(variance + eps)) * scale[d] + bias[d]);
  }).flat();
}

export interface AttentionProblem {
  lengths: number[];
  heads: number;
  D: number;
  /** Each [M, D]. */
  query: number[];
  key: number[];
  value: number[];
}

/** [M, D] */
export function attention({ lengths, heads, D, query, key, value }: AttentionProblem): number[] {
  const width = D / heads;
  const output = new Array<number>(query.length).fill(0);
  let first = 0;
  for (const length of lengths) {
    for (let head = 0; head < heads; head += 1) {
      const at = (row: number, d: number) => (first + row) * D + head * width + d;
      for (let row = 0; row < length; row += 1) {
        const scores = Array.from({ length }, (_, other) => {
          let dot = 0;
          for (let d = 0; d < width; d += 1) dot += query[at(row, d)] * key[at(other, d)];
          return Math.exp(dot / Math.sqrt(width));
        });
        const sum = scores.reduce((a, b) => a + b, 0);
        for (let other = 0; other < length; other += 1) {
          for (let d = 0; d < width; d += 1) {
            output[at(row, d)] += (scores[other] / sum) * value[at(other, d)];
          }
        }
      }
    }
    first += length;
  }
  return output;
}

/** x times the normal distribution function, by tanh. */
export function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}
