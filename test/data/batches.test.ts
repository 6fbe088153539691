import test from 'ava';
import fc from 'fast-check';
import { planBatches } from '../../lib/data/batches.js';
import { alignSpans, toExamples } from '../../lib/data/examples.js';
import { TagSet } from '../../lib/labels/scheme.js';
import { createRandom, mixSeed } from '../../lib/random.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { Vocab } from '../../lib/text/vocab.js';

const tokenizer = new Tokenizer(
  Vocab.parse(new TextEncoder().encode('[PAD]\n[UNK]\n[CLS]\n[SEP]\n王\n明\n京\n')),
);
const tagSet = new TagSet(['PER', 'LOC'], 'BIO');

test('every sequence with units is in exactly one batch', (t) => {
  const arbitrary = fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 300 });
  fc.assert(
    fc.property(arbitrary, fc.integer({ min: 1, max: 40 }), fc.nat(), (lengths, batchSize, seed) => {
      const batches = planBatches(Int32Array.from(lengths), { batchSize, seed, epoch: 0 });
      const expected = lengths.flatMap((length, index) => (length > 0 ? [index] : []));
      const found = batches.flatMap((batch) => Array.from(batch)).sort((a, b) => a - b);
      return batches.every((batch) => batch.length <= batchSize) && found.join() === expected.join();
    }),
    { seed: 1 },
  );
  t.pass();
});

test('batches depend on seed and epoch, and hold like lengths', (t) => {
  const random = createRandom(5);
  const lengths = Int32Array.from({ length: 4000 }, () => 1 + random.int(120));
  const plan = (seed: number, epoch: number) => planBatches(lengths, { batchSize: 32, seed, epoch });
  t.deepEqual(plan(1, 0), plan(1, 0));
  t.notDeepEqual(plan(1, 0), plan(1, 1));
  t.notDeepEqual(plan(1, 0), plan(2, 0));
  const padding = plan(1, 0).reduce((sum, batch) => {
    const all = Array.from(batch, (index) => lengths[index]);
    return sum + Math.max(...all) * all.length - all.reduce((a, b) => a + b, 0);
  }, 0);
  t.true(padding / lengths.reduce((a, b) => a + b, 0) < 0.1);
});

test('spans align to the units they touch and vanish with them', (t) => {
  const units = tokenizer.tokenize('王 明\u0301京\u200b');
  const at = (start: number, end: number) =>
    alignSpans(units, [{ start, end, label: 'X' }]).map((span) => [span.start, span.end]);
  t.deepEqual(at(0, 3), [[0, 2]]);
  t.deepEqual(at(3, 4), [[1, 2]]);
  t.deepEqual(at(1, 2), []);
  t.deepEqual(at(5, 6), []);
  t.deepEqual(at(4, 6), [[2, 3]]);
});

test('examples of a long sentence hold all of its units and entities', (t) => {
  const text = `${'字'.repeat(9)}王明${'字'.repeat(9)}。京${'字'.repeat(12)}\n王`;
  const spans = [
    { start: 9, end: 11, label: 'PER' },
    { start: 21, end: 22, label: 'LOC' },
    { start: 35, end: 36, label: 'PER' },
  ];
  const examples = toExamples({ text, spans, file: 'f', line: 1 }, tokenizer, tagSet, 10);
  t.true(examples.every(({ ids, tags }) => ids.length === tags.length && ids.length <= 10));
  t.is(
    examples.reduce((sum, { ids }) => sum + ids.length, 0),
    35,
  );
  const tags = examples
    .flatMap((example) => Array.from(example.tags, (tag) => tagSet.tags[tag]))
    .filter((tag) => tag !== 'O');
  t.deepEqual(tags, ['B-PER', 'I-PER', 'B-LOC', 'B-PER']);
});

test('random numbers are uniform, repeatable and differ between streams', (t) => {
  const draw = (seed: number) => {
    const random = createRandom(seed);
    return Array.from({ length: 10_000 }, () => random.next());
  };
  const numbers = draw(7);
  t.deepEqual(draw(7), numbers);
  t.true(Math.abs(numbers.reduce((a, b) => a + b, 0) / 10_000 - 0.5) < 0.02);
  t.true(numbers.every((value) => value >= 0 && value < 1));
  const seeds = new Set<number>();
  for (let a = 0; a < 50; a += 1) for (let b = 0; b < 50; b += 1) seeds.add(mixSeed(a, b));
  t.is(seeds.size, 2500);
  t.true([...seeds].every((seed) => Number.isSafeInteger(seed) && seed >= 0));
});
