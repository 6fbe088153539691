import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { readCorpus } from '../../lib/data/corpus.js';
import { fileWith, refusal, shown } from '../support/corpus-files.js';
import { repoRoot } from '../support/paths.js';

const lines = (...objects: unknown[]) => objects.map((object) => `${JSON.stringify(object)}\n`).join('');

const text = '王明😀在 北京';
const expected = [[text, '王明/PER', '北京/LOC']];

/** One sentence in every form. */
const FORMS: Record<string, unknown> = {
  CLUENER: { text, label: { LOC: { 北京: [[5, 6]] }, PER: { 王明: [[0, 1]] } } },
  label: {
    text,
    label: [
      [5, 7, 'LOC'],
      [0, 2, 'PER'],
    ],
  },
  labels: {
    text,
    labels: [
      [0, 2, 'PER'],
      [5, 7, 'LOC'],
    ],
  },
  entities: {
    text,
    entities: [
      [0, 2, 'PER'],
      [5, 7, 'LOC'],
    ],
  },
  relations: {
    id: 7,
    text,
    entities: [
      { id: 1, label: 'PER', start_offset: 0, end_offset: 2 },
      { id: 2, label: 'LOC', start_offset: 5, end_offset: 7 },
    ],
    relations: [],
  },
  spans: {
    text,
    entities: [
      { start: 0, end: 2, label: 'PER' },
      { start: 5, end: 7, label: 'LOC' },
    ],
  },
};

for (const [name, form] of Object.entries(FORMS)) {
  test(`a line of the form ${name} is found and read`, async (t) => {
    const { sentences, labels, format, scheme, warnings } = await readCorpus(await fileWith(t, lines(form)));
    t.deepEqual(shown(sentences), expected);
    t.deepEqual([labels, format, scheme, warnings], [['LOC', 'PER'], 'jsonl', 'BIO', []]);
  });
}

test('the lines in docs/corpora.md say the same', async (t) => {
  const document = await readFile(join(repoRoot, 'docs', 'corpora.md'), 'utf8');
  const [, example] = /```json\n(.*?)```/s.exec(document) ?? [];
  const { sentences } = await readCorpus(await fileWith(t, example));
  t.deepEqual(shown(sentences), Array(3).fill(['王明在北京', '王明/PER', '北京/LOC']));
});

test('lines of different forms stand in one file, which may be compressed and start with a mark', async (t) => {
  const content = `\ufeff\n${lines(...Object.values(FORMS)).replaceAll('\n', '\r\n\r\n')}`;
  const every = Object.values(FORMS).flatMap(() => expected);
  for (const file of [
    await fileWith(t, content, 'corpus.jsonl'),
    await fileWith(t, gzipSync(content), 'corpus.jsonl.gz'),
  ]) {
    const { sentences } = await readCorpus(file);
    t.deepEqual(shown(sentences), every);
    t.deepEqual(
      sentences.map(({ line }) => line),
      every.map((_, index) => 2 * index + 2),
    );
  }
});

test('white space stays in texts and entities, texts without entities are sentences, empty ones are none', async (t) => {
  const file = await fileWith(
    t,
    lines(
      { text: ' New York\u3000', label: [[1, 9, 'LOC']] },
      { text: '', label: {} },
      { text: '没有{{a:b}}', labels: [] },
    ),
  );
  const { sentences, format } = await readCorpus(file);
  t.is(format, 'jsonl');
  t.deepEqual(shown(sentences), [[' New York\u3000', 'New York/LOC'], ['没有{{a:b}}']]);
});

test('entities side by side stay two, and labels are renamed and checked with their line', async (t) => {
  const pair = {
    text: '甲乙丙',
    label: [
      [0, 2, 'A'],
      [2, 3, 'A'],
    ],
  };
  const file = await fileWith(t, lines({ text: '丁', label: [] }, pair));
  const { sentences } = await readCorpus(file, { rename: { A: 'ORG' }, labels: ['ORG'] });
  t.deepEqual(shown(sentences)[1], ['甲乙丙', '甲乙/ORG', '丙/ORG']);
  const error = await refusal(readCorpus(file, { labels: ['ORG'] }));
  t.deepEqual([error.code, error.details.line], ['ERR_INVALID_DATA', 2]);
});

test('an entity within another is left out with a warning, one over a line break is told', async (t) => {
  const nested = {
    text: '读《北京》书\n店',
    label: { book: { '《北京》': [[1, 4]] }, address: { 北京: [[2, 3]] }, scene: { '书\n店': [[5, 7]] } },
  };
  const file = await fileWith(t, lines({ text: '一', label: {} }, nested));
  const { sentences, labels, warnings } = await readCorpus(file);
  t.deepEqual(shown(sentences)[1].slice(1), ['《北京》/book', '书\n店/scene']);
  t.deepEqual(labels, ['book', 'scene']);
  t.deepEqual(warnings, [
    { file, line: 2, message: 'address "北京" lies within book "《北京》" and is left out' },
    {
      file,
      line: 2,
      message:
        'scene "书\\n店" goes over a line break; training reads it as O, and no prediction goes over one',
    },
  ]);
});

test('an entity whose label is dropped hides none', async (t) => {
  const label = { scene: { 北京大学: [[0, 3]] }, address: { 北京: [[0, 1]] }, name: { 学士: [[3, 4]] } };
  const file = await fileWith(t, lines({ text: '一', label: {} }, { text: '北京大学士', label }));
  const { sentences, warnings } = await readCorpus(file, { rename: { scene: null } });
  t.deepEqual(shown(sentences)[1].slice(1), ['北京/address', '学士/name']);
  t.deepEqual(warnings, []);
});

/** A second line of a file, the field that is named, and words of the message. */
const REFUSED: [name: string, line: unknown, field: string, message: RegExp][] = [
  ['no object', ['王'], 'the line', /a JSON object.*received an array/],
  ['null', null, 'the line', /received null/],
  ['no text', { label: [] }, 'text', /a string for text but received undefined/],
  ['no entities', { text: '王' }, 'the entities', /one of label, labels, entities.*received none/],
  ['two lists', { text: '王', label: [], entities: [] }, 'the entities', /received label and entities/],
  ['another kind of list', { text: '王', labels: 'PER' }, 'labels', /received "PER"/],
  ['another kind of entity', { text: '王', labels: [[0, 1]] }, 'labels[0]', /received \[0,1\]/],
  ['texts that are none', { text: '王', label: { PER: [[0, 0]] } }, 'label.PER', /an object/],
  ['places that are none', { text: '王', label: { PER: { 王: 0 } } }, 'label.PER.王', /\[start, end\]/],
  ['one place', { text: '王', label: { PER: { 王: [0, 0] } } }, 'label.PER.王[0]', /received 0$/],
  [
    'a place too far',
    { text: '王', label: { PER: { 王: [[0, 1]] } } },
    'label.PER.王[0]',
    /of 1 char.*\[0,1\]/,
  ],
  ['another text', { text: '王明', label: { PER: { 王: [[1, 1]] } } }, 'label.PER.王[0]', /"王".*"明"/],
  ['an end too far', { text: '😀', label: [[0, 2, 'A']] }, 'label[0]', /of 1 char.*\[0,2,"A"\]/],
  ['an empty entity', { text: '王', label: [[0, 0, 'A']] }, 'label[0]', /\[0,0,"A"\]/],
  ['a start below zero', { text: '王', label: [[-1, 1, 'A']] }, 'label[0]', /\[-1,1,"A"\]/],
  ['half an offset', { text: '王明', label: [[0.5, 1, 'A']] }, 'label[0]', /\[0.5,1,"A"\]/],
  ['no offset', { text: '王', entities: [{ start: 0, label: 'A' }] }, 'entities[0]', /"label":"A"/],
  [
    'a number as label',
    { text: '王', label: [[0, 1, 3]] },
    'label[0]',
    /a label without white space.*received 3/,
  ],
  ['white space in a label', { text: '王', label: [[0, 1, 'A B']] }, 'label[0]', /received "A B"/],
  ['an empty label', { text: '王', label: { '': { 王: [[0, 0]] } } }, 'label..王[0]', /received ""/],
];

for (const [name, line, field, message] of REFUSED) {
  test(`a line with ${name} is refused with its place`, async (t) => {
    const file = await fileWith(t, lines({ text: '在', label: [] }, line));
    const error = await refusal(readCorpus(file));
    t.deepEqual([error.code, error.details], ['ERR_INVALID_DATA', { file, line: 2, field }]);
    t.true(error.message.startsWith(`${file}:2: `));
    t.regex(error.message, message);
  });
}

test('entities that overlap and two of the same characters are refused', async (t) => {
  for (const label of [
    [
      [1, 3, 'A'],
      [0, 2, 'B'],
    ],
    [
      [0, 2, 'A'],
      [0, 2, 'B'],
    ],
  ]) {
    const file = await fileWith(t, lines({ text: '甲乙丙', label }));
    const { code, message, details } = await refusal(readCorpus(file));
    t.deepEqual([code, details.line], ['ERR_INVALID_DATA', 1]);
    t.regex(message, /no overlap for label\[[01]\] but received an entity that overlaps label\[[01]\]/);
  }
});

test('a line that is no JSON is refused with its place and the reason', async (t) => {
  const file = await fileWith(t, `${lines({ text: '在', label: [] })}{"text": "王", "label": [}\n`);
  const { code, message, details } = await refusal(readCorpus(file));
  t.deepEqual([code, details.line], ['ERR_INVALID_DATA', 2]);
  t.regex(message, /Expected a whole JSON object for the line but received .*: Unexpected token/);
});

test('a plain text that is no JSON is refused when the format is asked for', async (t) => {
  const error = await refusal(readCorpus(await fileWith(t, '王 O\n'), { format: 'jsonl' }));
  t.deepEqual([error.code, error.details.line], ['ERR_INVALID_DATA', 1]);
});

test('a line with hundreds of thousands of warnings is read', async (t) => {
  const count = 150_000;
  const nested = Array.from({ length: count }, (_, index) => [
    [2 * index, 2 * index + 2, 'ORG'],
    [2 * index, 2 * index + 1, 'LOC'],
  ]);
  const line = { text: '北京'.repeat(count), label: nested.flat() };
  const { sentences, warnings } = await readCorpus(await fileWith(t, lines(line)));
  t.is(sentences[0].spans.length, count);
  t.is(warnings.length, count);
});
