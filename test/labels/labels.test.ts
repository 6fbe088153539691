import test from 'ava';
import fc from 'fast-check';
import { tagConstraints } from '../../lib/labels/constraints.js';
import { detectScheme, parseTag, TagSet } from '../../lib/labels/scheme.js';
import { decodeTags, encodeSpans, type Span } from '../../lib/labels/spans.js';

const spansOf = (tags: string, options = {}) =>
  decodeTags(tags.split(' '), options).spans.map(({ start, end, label }) => `${start}-${end} ${label}`);

test('tags of all schemes parse, others do not', (t) => {
  t.deepEqual(parseTag('B_PER'), { role: 'begin', label: 'PER' });
  t.deepEqual(parseTag('M-a-b'), { role: 'inside', label: 'a-b' });
  t.deepEqual(parseTag('U-X'), { role: 'single', label: 'X' });
  t.deepEqual(parseTag('O'), { role: 'outside', label: null });
  for (const tag of ['', 'B', 'B-', 'PER', 'X-PER', 'BPER', 'o', '0']) t.is(parseTag(tag), undefined, tag);
});

test('spans are read from BIO, BIOES and BMES', (t) => {
  t.deepEqual(spansOf('B-A I-A O B-A B-B I-B'), ['0-2 A', '3-4 A', '4-6 B']);
  t.deepEqual(spansOf('S-A B-A I-A E-A B-B E-B O'), ['0-1 A', '1-4 A', '4-6 B']);
  t.deepEqual(spansOf('B-A M-A M-A E-A S-A'), ['0-4 A', '4-5 A']);
  t.deepEqual(spansOf('B-A E-A I-A'), ['0-2 A']);
});

test('in IOB1 an inside tag starts an entity', (t) => {
  t.deepEqual(spansOf('I-A I-A B-A I-B O', { startsInside: true }), ['0-2 A', '2-3 A', '3-4 B']);
});

test('an inside tag that continues nothing is ignored and reported', (t) => {
  const { spans, illegal } = decodeTags(['I-A', 'O', 'B-A', 'I-B', 'I-B']);
  t.deepEqual(spans, [{ start: 2, end: 3, label: 'A' }]);
  t.deepEqual(
    illegal.map(({ position }) => position),
    [0, 3, 4],
  );
});

test('the scheme of a corpus is detected', (t) => {
  const detect = (...sentences: string[]) => detectScheme(sentences.map((tags) => tags.split(' ')));
  t.is(detect('B-A I-A O', 'O'), 'BIO');
  t.is(detect('B-A I-A', 'S-A O'), 'BIOES');
  t.is(detect('B-A E-A', 'B-A M-A E-A'), 'BMES');
  t.is(detect('I-A E-A', 'E-A O'), 'IOE');
  t.is(detect('I-A E-A', 'S-A O'), 'IOE');
  t.is(detect('E-A S-A'), 'BIOES');
  t.is(detect('I-A I-A B-A O'), 'IOB1');
  t.is(detect('I-A O B-A'), 'BIO');
});

const spanLists = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 0, max: 3 }), fc.constantFrom('A', 'B')),
  { maxLength: 8 },
);

test('spans survive encoding and decoding in both schemes', (t) => {
  fc.assert(
    fc.property(spanLists, fc.constantFrom('BIO' as const, 'BIOES' as const), (list, scheme) => {
      const tagSet = new TagSet(['A', 'B'], scheme);
      const spans: Span[] = [];
      let position = 0;
      for (const [length, gap, label] of list) {
        spans.push({ start: position + gap, end: position + gap + length, label });
        position += gap + length;
      }
      const tags = encodeSpans(spans, position + 1, tagSet);
      const names = Array.from(tags, (tag) => tagSet.tags[tag]);
      return JSON.stringify(decodeTags(names)) === JSON.stringify({ spans, illegal: [] });
    }),
    { seed: 1 },
  );
  t.pass();
});

test('spans that overlap or leave the sentence are refused', (t) => {
  const tagSet = new TagSet(['A'], 'BIO');
  const spans = (...pairs: number[][]) => pairs.map(([start, end]) => ({ start, end, label: 'A' }));
  for (const list of [spans([0, 2], [1, 3]), spans([3, 5]), spans([2, 2])]) {
    t.throws(() => encodeSpans(list, 4, tagSet), { code: 'ERR_INVALID_DATA' });
  }
});

test('a tag set numbers O first, then the tags of each label in order', (t) => {
  t.deepEqual(new TagSet(['PER', 'LOC'], 'BIO').tags, ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC']);
  const bioes = new TagSet(['X'], 'BIOES');
  t.deepEqual(bioes.tags, ['O', 'B-X', 'I-X', 'E-X', 'S-X']);
  t.deepEqual(Array.from(bioes.roles), [0, 1, 2, 3, 4]);
  t.deepEqual(Array.from(bioes.labelIndexes), [-1, 0, 0, 0, 0]);
  for (const labels of [[], ['A', 'A'], ['A B'], ['']]) {
    t.throws(() => new TagSet(labels, 'BIO'), { code: 'ERR_INVALID_ARGUMENT' });
  }
});

for (const scheme of ['BIO', 'BIOES'] as const) {
  test(`the constraints of ${scheme} allow exactly the sequences that decode and encode to themselves`, (t) => {
    const tagSet = new TagSet(['A', 'B'], scheme);
    const { transitions, starts, ends } = tagConstraints(tagSet);
    const K = tagSet.size;
    for (let number = 0; number < K ** 4; number += 1) {
      const path = Array.from({ length: 4 }, (_, k) => Math.floor(number / K ** k) % K);
      const allowed =
        starts[path[0]] === 1 &&
        ends[path[3]] === 1 &&
        path.every((tag, k) => k === 0 || transitions[path[k - 1] * K + tag] === 1);
      const { spans, illegal } = decodeTags(path.map((tag) => tagSet.tags[tag]));
      const again = illegal.length === 0 ? Array.from(encodeSpans(spans, 4, tagSet)) : [];
      t.is(allowed, again.join() === path.join(), path.map((tag) => tagSet.tags[tag]).join(' '));
    }
  });
}
