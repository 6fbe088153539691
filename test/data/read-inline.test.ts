import test from 'ava';
import { readCorpus } from '../../lib/data/corpus.js';
import { AlbertNerError } from '../../lib/errors.js';
import { fileWith } from '../support/corpus-files.js';

test('entities in double braces are read with their labels and offsets', async (t) => {
  const file = await fileWith(t, '记者{{person_name: 施宇翔}}昨天到{{location:杭州}}。\n\n没有😀实体\n');
  const { sentences, labels, format } = await readCorpus(file);
  t.is(format, 'inline');
  t.deepEqual(labels, ['location', 'person_name']);
  t.deepEqual(
    sentences.map(({ text, spans, line }) => ({
      text,
      line,
      found: spans.map(({ start, end, label }) => `${label} ${text.slice(start, end)}`),
    })),
    [
      { text: '记者 施宇翔昨天到杭州。', line: 1, found: ['person_name 施宇翔', 'location 杭州'] },
      { text: '没有😀实体', line: 3, found: [] },
    ],
  );
});

test('labels can be renamed, joined and dropped', async (t) => {
  const file = await fileWith(t, '{{org_name:甲}}和{{company_name:乙}}卖{{product_name:丙}}\n');
  const rename = { org_name: 'ORG', company_name: 'ORG', product_name: null };
  const { sentences, labels } = await readCorpus(file, { rename, labels: ['ORG'] });
  t.deepEqual(labels, ['ORG']);
  t.is(sentences[0].spans.length, 2);
});

test('entities side by side stay two', async (t) => {
  const { sentences } = await readCorpus(await fileWith(t, '{{A:甲乙}}{{A:丙}}\n'));
  t.deepEqual(
    sentences[0].spans.map(({ start, end }) => [start, end]),
    [
      [0, 2],
      [2, 3],
    ],
  );
});

test('an unfinished entity is refused with its line', async (t) => {
  const file = await fileWith(t, '{{A:甲}}\n好{{B:乙\n');
  const error = await t.throwsAsync(readCorpus(file), { instanceOf: AlbertNerError });
  t.is((error as AlbertNerError).code, 'ERR_INVALID_DATA');
  t.is((error as AlbertNerError).details.line, 2);
});
