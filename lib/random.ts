/**
 * Seeded random numbers that are the same on every machine: xoshiro128** (Blackman and Vigna 2018), seeded by
 * splitmix32. Not for cryptography.
 */

export interface Random {
  /** Uniform in [0, 1), 32 bits of resolution. */
  next(): number;
  /** Uniform integer in [0, bound). */
  int(bound: number): number;
  /** Fisher-Yates, in place. */
  shuffle<T extends { length: number; [index: number]: unknown }>(values: T): T;
}

function splitmix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}

const rotateLeft = (value: number, bits: number) => (value << bits) | (value >>> (32 - bits));

/** `seed`: an integer in [0, 2^53). */
export function createRandom(seed: number): Random {
  const low = splitmix32(seed % 2 ** 32);
  const high = splitmix32(Math.floor(seed / 2 ** 32) ^ 0x5bd1e995);
  const state = Int32Array.from([low(), low() ^ high(), high(), low()]);
  if (state.every((word) => word === 0)) state[0] = 1;
  const random: Random = {
    next() {
      const result = Math.imul(rotateLeft(Math.imul(state[1], 5), 7), 9) >>> 0;
      const shifted = state[1] << 9;
      state[2] ^= state[0];
      state[3] ^= state[1];
      state[1] ^= state[2];
      state[0] ^= state[3];
      state[2] ^= shifted;
      state[3] = rotateLeft(state[3], 11);
      return result / 2 ** 32;
    },
    int: (bound) => Math.floor(random.next() * bound),
    shuffle(values) {
      for (let last = values.length - 1; last > 0; last -= 1) {
        const other = random.int(last + 1);
        const kept = values[last];
        values[last] = values[other];
        values[other] = kept;
      }
      return values;
    },
  };
  return random;
}

/** A seed for a stream of its own, from a seed and the stream's numbers; integer in [0, 2^53). */
export function mixSeed(...parts: number[]): number {
  let low = 0x12345678;
  let high = 0x9abcdef0;
  for (const part of parts) {
    const next = splitmix32((low ^ (part % 2 ** 32)) >>> 0);
    low = next();
    high = splitmix32((high ^ Math.floor(part / 2 ** 32) ^ next()) >>> 0)();
  }
  return (high & 0x1fffff) * 2 ** 32 + low;
}
