import test from 'ava';
import fc from 'fast-check';
import { toFloat16 } from '../../albert/convert/float16.js';

/** The value of half bits, by the definition. */
function fromBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

test('every half comes back as itself', (t) => {
  const all = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits).filter(
    (bits) => !Number.isNaN(fromBits(bits)),
  );
  t.deepEqual(toFloat16(Float32Array.from(all, fromBits)), all);
});

test('a value goes to the nearest half, of two equally near to the even one', (t) => {
  const property = fc.property(fc.float({ min: -65504, max: 65504, noNaN: true }), (value) => {
    const [bits] = toFloat16(Float32Array.of(value));
    const error = Math.abs(fromBits(bits) - value);
    const neighbours = [bits - 1, bits + 1].map((other) => Math.abs(fromBits(other & 0xffff) - value));
    return neighbours.every(
      (other) => Number.isNaN(other) || other > error || (other === error && bits % 2 === 0),
    );
  });
  t.notThrows(() => fc.assert(property, { numRuns: 2000 }));
  // Halfway between 1 and its successor, and between that and the next.
  t.deepEqual([...toFloat16(Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11))], [0x3c00, 0x3c02]);
});

test('too large values, infinities and NaN keep their kind', (t) => {
  const bits = toFloat16(Float32Array.of(65520, -1e30, Number.NEGATIVE_INFINITY, Number.NaN, -1e-9));
  t.deepEqual([...bits].map(fromBits), [
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
    -0,
  ]);
});
