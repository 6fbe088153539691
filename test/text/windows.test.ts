import test from 'ava';
import fc from 'fast-check';
import { createRandom } from '../../lib/random.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { Vocab } from '../../lib/text/vocab.js';
import { lines, planWindows, splitForTraining } from '../../lib/text/windows.js';

const tokenizer = new Tokenizer(Vocab.parse(new TextEncoder().encode('[PAD]\n[UNK]\n[CLS]\n[SEP]\n')));

const texts = fc
  .array(fc.constantFrom('字', '。', '，', ' ', 'a', '😀', '！'), { maxLength: 120 })
  .map((pieces) => pieces.join(''));

test('only a newline ends a line', (t) => {
  t.deepEqual(
    [...lines('a\nb\r\n\u2028c')],
    [
      { start: 0, end: 1 },
      { start: 2, end: 4 },
      { start: 5, end: 7 },
    ],
  );
  t.deepEqual([...lines('')], [{ start: 0, end: 0 }]);
});

test('windows keep every unit exactly once, in order, within their size', (t) => {
  fc.assert(
    fc.property(
      texts,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 0, max: 30 }),
      (text, maxUnits, margin) => {
        const units = tokenizer.tokenize(text);
        let next = 0;
        for (const { start, end, keepStart, keepEnd } of planWindows(text, units, { maxUnits, margin })) {
          if (keepStart !== next || keepEnd <= keepStart || start > keepStart || end < keepEnd) return false;
          if (end - start > maxUnits || start < 0 || end > units.length) return false;
          next = keepEnd;
        }
        return next === units.length;
      },
    ),
    { numRuns: 500, seed: 3 },
  );
  t.pass();
});

test('a cut has the asked context on both sides', (t) => {
  const text = '字'.repeat(100);
  const windows = planWindows(text, tokenizer.tokenize(text), { maxUnits: 40, margin: 8 });
  t.true(windows.length > 2);
  for (const { start, end, keepStart, keepEnd } of windows) {
    t.is(keepStart - start, keepStart === 0 ? 0 : 8);
    t.is(end - keepEnd, keepEnd === 100 ? 0 : 8);
  }
});

test('cuts come after the end of a sentence, else of a clause, else anywhere', (t) => {
  const cut = (text: string) =>
    planWindows(text, tokenizer.tokenize(text), { maxUnits: 12, margin: 0 })[0].keepEnd;
  t.is(cut('字字字字字字字。字，字字字字字字'), 8);
  t.is(cut('字字字字字字字，字字字字字字字字'), 8);
  t.is(cut('字字字字字字字 字字字字字字字字'), 7);
  t.is(cut('字'.repeat(20)), 12);
  t.is(cut(`字。${'字'.repeat(20)}`), 12);
});

test('pieces for training cover everything and never part an entity', (t) => {
  const inside = 2;
  fc.assert(
    fc.property(texts, fc.integer({ min: 1, max: 40 }), fc.nat(), (text, maxUnits, seed) => {
      const random = createRandom(seed);
      const units = tokenizer.tokenize(text);
      const tags = new Int32Array(units.length);
      let run = 0;
      for (let k = 0; k < tags.length; k += 1) {
        // Entities of at most four units.
        tags[k] = k > 0 && tags[k - 1] > 0 && run < 4 && random.int(6) > 1 ? inside : random.int(2);
        run = tags[k] === inside ? run + 1 : 1;
      }
      let next = 0;
      for (const { start, end } of splitForTraining(text, units, tags, {
        maxUnits,
        isInside: (tag) => tag === inside,
      })) {
        if (start !== next || end <= start || end - start > maxUnits) return false;
        if (maxUnits >= 10 && start > 0 && tags[start] === inside) return false;
        next = end;
      }
      return next === units.length;
    }),
    { numRuns: 500, seed: 5 },
  );
  t.pass();
});

test('an entity longer than a piece is cut hard', (t) => {
  const text = '字'.repeat(30);
  const tags = new Int32Array(30).fill(2);
  const pieces = splitForTraining(text, tokenizer.tokenize(text), tags, {
    maxUnits: 12,
    isInside: (tag) => tag === 2,
  });
  t.deepEqual(
    pieces.map(({ start, end }) => end - start),
    [12, 12, 6],
  );
});
