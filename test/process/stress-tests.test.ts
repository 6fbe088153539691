import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { runNode } from '../support/child.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';

const stress = (log: string, ...args: string[]) =>
  runNode(join(repoRoot, 'scripts', 'stress-tests.js'), ['--burners', '1', '--log', log, ...args]);

const roundsIn = async (log: string) =>
  (await readFile(log, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test('each round is a line of the log, and a continued log counts its rounds', async (t) => {
  const log = join(await temporaryFolder(t), 'log.jsonl');
  const files = ['--files', 'dist/test/labels/labels.test.js'];
  const first = await stress(log, '--runs', '1', ...files);
  t.is(first.code, 0, first.stderr);
  const second = await stress(log, '--runs', '2', '--append', ...files);
  t.is(second.code, 0, second.stderr);
  t.regex(second.stdout, /2 rounds of \d+ to \d+ s: 0 failed\n$/);
  const [one, two, ...others] = await roundsIn(log);
  t.deepEqual(others, []);
  t.like(one, { round: 1, failed: 0, notRun: 0, failures: [] });
  t.true(one.passed > 3);
  t.like(two, { round: 2, passed: one.passed, failed: 0 });
});

test('a round that fails is counted and decides the exit code', async (t) => {
  const log = join(await temporaryFolder(t), 'log.jsonl');
  const { code, stdout } = await stress(log, '--runs', '1', '--files', 'dist/test/no-such.test.js');
  t.is(code, 1);
  t.regex(stdout, /1 rounds of .*: 1 failed\n$/);
  t.like((await roundsIn(log))[0], { round: 1, passed: 0, failed: 1 });
});

test('a number of rounds that is none is refused', async (t) => {
  const log = join(await temporaryFolder(t), 'log.jsonl');
  const { code, stderr } = await stress(log, '--runs', 'many');
  t.is(code, 2);
  t.regex(stderr, /^error: Expected an integer of at least 1 for --runs but received many/);
});
