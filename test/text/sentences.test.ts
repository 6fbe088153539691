import test from 'ava';
import fc from 'fast-check';
import { splitSentences } from '../../lib/text/sentences.js';

test('cuts behind the marks that end sentences and what closes after them', (t) => {
  t.deepEqual(splitSentences('他说：“走吧。”大家都走了！真的？是。', 1), [
    '他说：“走吧。”',
    '大家都走了！',
    '真的？',
    '是。',
  ]);
  t.deepEqual(splitSentences('真的？！是！！（他说：“好。”）走。', 1), [
    '真的？！',
    '是！！',
    '（他说：“好。”）',
    '走。',
  ]);
});

test('joins short ones and leaves long ones whole', (t) => {
  t.deepEqual(splitSentences('一。二二。三三三三三三。四。', 5), ['一。二二。', '三三三三三三。', '四。']);
  t.deepEqual(splitSentences('  ', 5), []);
});

test('joined they are the paragraph', (t) => {
  const text = fc.string({ unit: fc.constantFrom('字', '。', '！', '”', '；', 'a', ' ') });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 9 }), (paragraph, longest) => {
      return splitSentences(paragraph, longest).join('') === paragraph.trim();
    }),
    { numRuns: 300, seed: 2 },
  );
  t.pass();
});
