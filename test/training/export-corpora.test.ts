import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { runNode } from '../support/child.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';

const SCRIPT = join(repoRoot, 'scripts', 'teacher', 'export-corpora.js');

async function rowsOf(file: string): Promise<{ corpus: number; text: string; tags: number[] }[]> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line));
}

test('exported corpora have a tag for each code point of what a tagger would see, and say what is open', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'a.txt'), '王 B-PER\n明 I-PER\n\u3000 O\n在 O\n😀 B-LOC\n\n京 O\n');
  await writeFile(join(folder, 'dev.txt'), '沪 B-LOC\n');
  await writeFile(join(folder, 'b.txt'), '李 B-PER\n娜 I-PER\n');
  const config = `tags: [PER, LOC]
scheme: BIOES
train:
  corpora:
    - { name: a, data: a.txt, dev: dev.txt, repeat: 2 }
    - { name: b, data: b.txt, unannotated: [LOC] }
    - { name: c, data: none.txt }
`;
  await writeFile(join(folder, 'config.yml'), config);
  const out = join(folder, 'out');
  const args = ['--config', join(folder, 'config.yml'), '--without', 'c', '--out', out];
  const { code, stderr } = await runNode(SCRIPT, args);
  t.is(code, 0, stderr);
  const { tags, corpora } = JSON.parse(await readFile(join(out, 'corpora.json'), 'utf8'));
  t.deepEqual(
    corpora.map(({ name, repeat }: { name: string; repeat: number }) => [name, repeat]),
    [
      ['a', 2],
      ['b', 1],
    ],
  );
  t.deepEqual(
    corpora[1].open.map((tag: number) => tags[tag]),
    ['B-LOC', 'I-LOC', 'E-LOC', 'S-LOC'],
  );
  t.deepEqual(
    (await rowsOf(join(out, 'train.jsonl'))).map((row) => [
      row.corpus,
      row.text,
      row.tags.map((tag) => tags[tag]).join(' '),
    ]),
    [
      [0, '王明在😀', 'B-PER E-PER O S-LOC'],
      [0, '京', 'O'],
      [1, '李娜', 'B-PER E-PER'],
    ],
  );
  t.deepEqual(await rowsOf(join(out, 'dev.jsonl')), [
    { corpus: 0, text: '沪', tags: [tags.indexOf('S-LOC')] },
  ]);
});

test('an export without its paths says which', async (t) => {
  const { code, stderr } = await runNode(SCRIPT, ['--config', 'x']);
  t.is(code, 2);
  t.is(stderr, 'error: Expected a path for --out but received none\n');
});
