import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { readCorpus } from '../../lib/data/corpus.js';
import { writeConll } from '../../lib/data/read-conll.js';
import type { Span } from '../../lib/labels/spans.js';
import { runNode } from '../support/child.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';
import { tinyConfig, trainTinyModel } from '../support/tiny-model.js';

const script = join(repoRoot, 'scripts', 'tag-text.js');

test('text is tagged with what the models find, equal for equal seeds', async (t) => {
  const folder = await temporaryFolder(t);
  const { files } = await trainTinyModel(folder, { config: await tinyConfig('train.epochs=30') });
  const model = join(folder, 'model');
  // Sentences the models were trained on: small as they are, they know those.
  const gold = (await readCorpus(files.trainData)).sentences.slice(0, 60);
  const text = join(folder, 'plain.txt');
  await writeFile(text, gold.map((sentence) => sentence.text).join('\n'));
  const tag = async (name: string, ...options: string[]) => {
    const out = join(folder, name);
    const args = ['--model', model, '--model', model, '--text', `${text}=30`, ...options, '--out', out];
    const { code, stdout, stderr } = await runNode(script, args);
    t.is(code, 0, stderr);
    t.regex(stdout, /: \d+ of \d+ sentences/);
    return out;
  };
  const first = await tag('first.txt');
  t.deepEqual(await readFile(await tag('second.txt')), await readFile(first));
  t.deepEqual(gunzipSync(await readFile(await tag('third.txt.gz'))), await readFile(first));

  t.notDeepEqual(await readFile(await tag('other.txt', '--seed', '2')), await readFile(first));

  const { sentences, labels } = await readCorpus(first);
  t.true(sentences.length > 15 && sentences.length <= 30, `${sentences.length}`);
  t.true(labels.length > 1);
  const written = (found: readonly Span[]) =>
    found.map(({ start, end, label }) => `${start} ${end} ${label}`).join(', ');
  const expected = new Map(gold.map((sentence) => [sentence.text, written(sentence.spans)]));
  const right = sentences.filter((sentence) => expected.get(sentence.text) === written(sentence.spans));
  t.true(right.length > sentences.length / 2, `${right.length} of ${sentences.length}`);

  const more = await readCorpus(await tag('more.txt', '--corpus', files.devData));
  t.true(more.sentences.length > sentences.length);
});

test('a corpus is completed with a label it does not annotate', async (t) => {
  const folder = await temporaryFolder(t);
  const { files } = await trainTinyModel(folder, { config: await tinyConfig('train.epochs=30') });
  const model = join(folder, 'model');
  const { sentences: gold, labels } = await readCorpus(files.trainData);
  const [missing] = labels;
  // One sentence that has the label is all of it an entity of another one: nothing may be added there.
  const full = gold.findIndex(({ spans }) => spans.some(({ label }) => label === missing));
  const partly = gold.map(({ text, spans }, index) => ({
    text,
    spans:
      index === full
        ? [{ start: 0, end: text.length, label: 'OTHER' }]
        : spans.filter(({ label }) => label !== missing),
  }));
  const corpus = join(folder, 'partly.txt');
  await writeFile(corpus, writeConll(partly));
  const out = join(folder, 'completed.txt');
  const args = ['--model', model, '--corpus', corpus, '--complete', missing!, '--out', out];
  const { code, stderr } = await runNode(script, args);
  t.is(code, 0, stderr);

  const { sentences } = await readCorpus(out);
  t.deepEqual(
    sentences.map(({ text }) => text),
    gold.map(({ text }) => text),
  );
  t.deepEqual(sentences[full]!.spans, partly[full]!.spans);
  let added = 0;
  for (const [index, { spans }] of sentences.entries()) {
    const own = spans.filter(({ label }) => label !== missing);
    t.deepEqual(own, partly[index]!.spans);
    added += spans.length - own.length;
  }
  const wanted = gold.flatMap(({ spans }) => spans.filter(({ label }) => label === missing)).length;
  t.true(wanted > 0 && Math.abs(added - wanted) < wanted / 2, `${added} of ${wanted}`);

  const text = await runNode(script, [...args, '--text', corpus]);
  t.is(text.code, 2);
  t.regex(text.stderr, /Expected --corpus only with --complete/);
  const unknown = await runNode(script, [...args, '--complete', 'NONE']);
  t.is(unknown.code, 2);
  t.regex(unknown.stderr, /Expected for --complete a label of the models .* but received NONE/);
});

test('what is missing is told', async (t) => {
  const { code, stderr } = await runNode(script, ['--out', 'x.txt']);
  t.is(code, 2);
  t.regex(stderr, /Expected --model/);
});
