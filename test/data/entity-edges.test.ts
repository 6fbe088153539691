import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { readCorpus } from '../../lib/data/corpus.js';
import type { CorpusFormat } from '../../lib/data/sentences.js';
import { AlbertNerError } from '../../lib/errors.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { fileWith, writePair } from '../support/corpus-files.js';
import { temporaryFolder } from '../support/paths.js';
import { buildVocab } from '../support/tiny-model.js';

/** Characters that are no units, at a place each, and two marks. */
const INVISIBLE = [' ', '\u3000', '\u00a0', '\t', '\u200b', '\ufeff', '\u00ad', '\u0301', '\u{e0100}'];

interface Tagged {
  tokens: string[];
  spans: [start: number, end: number][];
}

/** The same sentence in each form of one file. A character a form can't hold is another one there. */
const WRITERS: Record<string, (sentence: Tagged) => string> = {
  // A tab parts columns, and a byte order mark isn't read at the beginning of a file.
  conll: ({ tokens, spans }) => {
    const lines = tokens.map((token, k) => `${token === '\t' ? ' ' : token}\t${tagAt(spans, k)}`);
    return `好\tB-Y\n${lines.join('\n')}\n`;
  },
  jsonl: ({ tokens, spans }) => {
    const entities = spans.map(([start, end]) => [start, end, 'X']);
    return `${JSON.stringify({ text: tokens.join(''), entities })}\n`;
  },
  inline: ({ tokens, spans }) =>
    `{{Y:好}}${tokens.map((token, k) => opening(spans, k) + token + closing(spans, k)).join('')}\n`,
};

const tagAt = (spans: Tagged['spans'], place: number) => {
  const span = spans.find(([start, end]) => start <= place && place < end);
  return span === undefined ? 'O' : span[0] === place ? 'B-X' : 'I-X';
};
const opening = (spans: Tagged['spans'], place: number) =>
  spans.some(([start]) => start === place) ? '{{X:' : '';
const closing = (spans: Tagged['spans'], place: number) =>
  spans.some(([, end]) => end === place + 1) ? '}}' : '';

/** Sentences whose entities hold at least one character that can be seen. */
const sentences = fc
  .array(fc.tuple(fc.constantFrom('王', '京', '😀', 'a', ...INVISIBLE), fc.integer({ min: 0, max: 3 })), {
    minLength: 1,
    maxLength: 12,
  })
  .map((parts): Tagged => {
    const tokens = parts.map(([character]) => character);
    const spans: Tagged['spans'] = [];
    for (let start = 0; start < parts.length; start += 1) {
      const end = Math.min(parts.length, start + parts[start][1]);
      if (!tokens.slice(start, end).some((token) => !INVISIBLE.includes(token))) continue;
      spans.push([start, end]);
      start = end - 1;
    }
    return { tokens, spans };
  });

const tokenizer = new Tokenizer(buildVocab(['王京好']));

/** `write` puts a sentence where the corpus is read. */
async function assertReachable(
  t: ExecutionContext,
  path: string,
  format: CorpusFormat,
  write: (sentence: Tagged) => Promise<void>,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(sentences, async (sentence) => {
      await write(sentence);
      const { sentences: read } = await readCorpus(path, { format });
      for (const { text, spans } of read) {
        const { starts, ends } = tokenizer.tokenize(text);
        for (const { start, end } of spans) {
          t.true(starts.includes(start) && ends.includes(end), JSON.stringify({ sentence, start, end }));
        }
      }
      const count = read.flatMap(({ spans }) => spans).filter(({ label }) => label === 'X').length;
      t.is(count, sentence.spans.length);
    }),
    { numRuns: 60 },
  );
}

for (const [format, write] of Object.entries(WRITERS)) {
  test(`every entity of ${format} begins and ends where a prediction may`, async (t) => {
    const file = join(await temporaryFolder(t), 'corpus');
    await assertReachable(t, file, format as CorpusFormat, (sentence) => writeFile(file, write(sentence)));
  });
}

test('every entity of a pair of files begins and ends where a prediction may', async (t) => {
  const folder = await temporaryFolder(t);
  await assertReachable(t, folder, 'pair', async ({ tokens, spans }) => {
    const source = tokens.map((token) => (token === ' ' || token === '\t' ? '\u3000' : token));
    const tags = tokens.map((_, k) => tagAt(spans, k));
    await writePair(folder, `好 ${source.join(' ')}\n`, `B-Y ${tags.join(' ')}\n`);
  });
});

test('edges that are moved are counted in one warning, at the first of them', async (t) => {
  const file = await fileWith(
    t,
    '{"text": "在北京", "label": [[1, 3, "LOC"]]}\n' +
      '{"text": "在 北京\u3000", "label": [[1, 5, "LOC"]]}\n' +
      '{"text": "王\u0301 在", "label": [[0, 1, "PER"]]}\n',
  );
  const { sentences, warnings } = await readCorpus(file);
  t.deepEqual(
    sentences.map(({ text, spans }) => spans.map(({ start, end }) => text.slice(start, end))),
    [['北京'], ['北京'], ['王\u0301']],
  );
  t.is(warnings.length, 1);
  t.like(warnings[0], { file, line: 2 });
  t.regex(warnings[0].message, /^2 entities begin or end .* the first is LOC " 北京\\u\{3000\}"/);
});

test('an entity of nothing that can be seen is refused', async (t) => {
  for (const [content, line] of [
    ['{"text": "在\u3000\u200b", "label": [[1, 3, "LOC"]]}\n', 1],
    ['在\tO\n\u3000\tB-LOC\n', 2],
    ['{{A:甲}}\n好{{LOC: \u00a0}}\n', 2],
  ] as const) {
    const error = await t.throwsAsync(readCorpus(await fileWith(t, content)), { instanceOf: AlbertNerError });
    t.like(error, { code: 'ERR_INVALID_DATA', details: { line } });
  }
});
