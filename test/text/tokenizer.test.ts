import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { KIND, kindOf, normalizeCodePoint } from '../../lib/text/normalize.js';
import { Tokenizer, type Units } from '../../lib/text/tokenizer.js';
import { UNICODE_VERSION } from '../../lib/text/unicode-tables.js';
import { Vocab } from '../../lib/text/vocab.js';
import { unavailable } from '../support/unavailable.js';

const CHARACTERS = [...'王小明在北京工作年发布会abcdefghijklmnopqrstuvwxyz0123456789.,!ａｂｃ１２①②公司'];
const TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...CHARACTERS, '\u2028', '\u1112\u1161'];
const vocab = Vocab.parse(new TextEncoder().encode(TOKENS.join('\n')));
const tokenizer = new Tokenizer(vocab);

const shown = (text: string, { length, ids, starts, ends }: Units) =>
  Array.from({ length }, (_, k) => [text.slice(starts[k], ends[k]), vocab.token(ids[k])]);
const read = (text: string) => shown(text, tokenizer.tokenize(text));

test('digits and Latin letters are units of their own, folded to lower case', (t) => {
  t.deepEqual(read('20年CEO'), [
    ['2', '2'],
    ['0', '0'],
    ['年', '年'],
    ['C', 'c'],
    ['E', 'e'],
    ['O', 'o'],
  ]);
});

test('white space makes no unit and keeps the offsets after it', (t) => {
  const units = tokenizer.tokenize('北京 上\u3000a\r\n\tb');
  t.deepEqual(Array.from(units.starts), [0, 1, 3, 5, 9]);
});

test('full-width and circled characters are looked up one by one', (t) => {
  t.deepEqual(read('ＡＢ１①'), [
    ['Ａ', 'ａ'],
    ['Ｂ', 'ｂ'],
    ['１', '１'],
    ['①', '①'],
  ]);
});

test('accents are folded away and combining marks lengthen the unit before them', (t) => {
  t.deepEqual(read('cafe\u0301É'), [
    ['c', 'c'],
    ['a', 'a'],
    ['f', 'f'],
    ['e\u0301', 'e'],
    ['É', 'e'],
  ]);
  t.deepEqual(read('\u0301a \u0301b'), [
    ['a', 'a'],
    ['b', 'b'],
  ]);
  t.deepEqual(read('İ'), [['İ', 'i']]);
});

test('a Hangul syllable is one unit: its entry where the vocabulary has it whole, else unknown', (t) => {
  t.deepEqual(read('하한'), [
    ['하', '\u1112\u1161'],
    ['한', '[UNK]'],
  ]);
});

test('quotes, emoji, astral ideographs and lone surrogates are one unknown unit each', (t) => {
  t.deepEqual(read('“😀𠮷\ud800x\udc00'), [
    ['“', '[UNK]'],
    ['😀', '[UNK]'],
    ['𠮷', '[UNK]'],
    ['\ud800', '[UNK]'],
    ['x', 'x'],
    ['\udc00', '[UNK]'],
  ]);
});

test('zero-width, private, unassigned and replacement characters vanish', (t) => {
  t.deepEqual(read('a\u200b\ufeff\ue000\u0378\ufffd\u0000\u200db'), [
    ['a', 'a'],
    ['b', 'b'],
  ]);
});

test('special tokens in text are plain characters', (t) => {
  t.deepEqual(
    read('[SEP]').map(([text]) => text),
    ['[', 'S', 'E', 'P', ']'],
  );
  t.deepEqual(read('[SEP]')[1], ['S', 's']);
});

test('units of any text are ordered, non-empty and never half a pair', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      const { length, starts, ends } = tokenizer.tokenize(text);
      let last = 0;
      for (let k = 0; k < length; k += 1) {
        if (starts[k] < last || ends[k] <= starts[k]) return false;
        const inPair = (at: number) =>
          /[\ud800-\udbff]/.test(text[at - 1] ?? '') && /[\udc00-\udfff]/.test(text[at] ?? '');
        if (inPair(starts[k]) || inPair(ends[k])) return false;
        last = ends[k];
      }
      return true;
    }),
    { numRuns: 500, seed: 1 },
  );
  t.pass();
});

test('tokenising in steps of any size gives what one go gives', (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.integer({ min: 1, max: 7 }),
      (text, size) => {
        const run = tokenizer.begin(text);
        let steps = 0;
        while (!run.step(size)) steps += 1;
        t.true(steps <= text.length);
        return JSON.stringify(shown(text, run.units())) === JSON.stringify(read(text));
      },
    ),
    { numRuns: 300, seed: 2 },
  );
});

test('a stretch of text has absolute offsets', (t) => {
  t.deepEqual(Array.from(tokenizer.tokenize('王小明在北京', 2, 4).starts), [2, 3]);
});

test('the tables agree with the Unicode data of this Node', (t) => {
  if (process.versions.unicode !== UNICODE_VERSION) {
    return unavailable(t, `this Node has Unicode ${process.versions.unicode}, the tables ${UNICODE_VERSION}`);
  }
  let compared = 0;
  for (let code = 0; code <= 0x10ffff; code += 1) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const character = String.fromCodePoint(code);
    const skipped = /[\p{C}\p{Z}]/u.test(character) || code === 0xfffd;
    const mark = /\p{Mn}/u.test(character);
    const expected = skipped ? KIND.skipped : mark ? KIND.mark : KIND.kept;
    const folded = character
      .toLowerCase()
      .normalize('NFD')
      .replace(/\p{Mn}/gu, '');
    if (kindOf(code) !== expected || (expected === KIND.kept && normalizeCodePoint(code) !== folded))
      t.fail(code.toString(16));
    compared += 1;
  }
  t.is(compared, 1_112_064);
});

test('the tables are the ones models were trained with', (t) => {
  const hash = createHash('sha256');
  for (let code = 0; code <= 0x10ffff; code += 1)
    hash.update(`${kindOf(code)}${normalizeCodePoint(code) ?? ''}\n`);
  t.is(hash.digest('hex').slice(0, 16), TABLE_HASH);
});

/** Changes only with the Unicode version of the tables. */
const TABLE_HASH = 'f61498ac3310806a';
