import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { readCorpus } from '../../lib/data/corpus.js';
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

test('what is missing is told', async (t) => {
  const { code, stderr } = await runNode(script, ['--out', 'x.txt']);
  t.is(code, 2);
  t.regex(stderr, /Expected --model/);
});
