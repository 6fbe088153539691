import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { createProgram } from '../../lib/cli/program.js';
import { repoRoot } from '../support/paths.js';

const read = (...path: string[]) => readFileSync(join(repoRoot, ...path), 'utf8');

test('docs/checkpoints.md lists every reason for which a checkpoint is refused, and no other', (t) => {
  const readers = readdirSync(join(repoRoot, 'albert', 'convert')).map((name) =>
    join('albert', 'convert', name),
  );
  const sources = [
    ...readers,
    join('lib', 'model', 'convert-checkpoint.ts'),
    join('lib', 'model', 'import-tagger.ts'),
  ];
  const raised = sources.flatMap((name) =>
    [...read(name).matchAll(/'(E_[A-Z0-9_]+)'/g)].map(([, reason]) => reason),
  );
  const documented = [...read('docs', 'checkpoints.md').matchAll(/`(E_[A-Z0-9_]+)`/g)].map(
    ([, reason]) => reason,
  );
  t.deepEqual([...new Set(documented)].sort(), [...new Set(raised)].sort());
});

test('docs/checkpoints.md names options that convert has', (t) => {
  const convert = createProgram().commands.find((command) => command.name() === 'convert');
  const known = new Set(convert?.options.map(({ long }) => long));
  const lines = read('docs', 'checkpoints.md').split('\n');
  const ofConvert = lines.filter((line) => !/albert-ner train|`train`/.test(line));
  const named = ofConvert.flatMap((line) => line.match(/--[a-z]+(-[a-z]+)*/g) ?? []);
  t.true(named.length > 10);
  for (const option of named) t.true(known.has(option), option);
});
