import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run, runNode } from '../support/child.js';
import { repoRoot } from '../support/paths.js';
import { unavailable } from '../support/unavailable.js';

const bench = (name: string) => join(repoRoot, 'bench', name);
const python = process.env.PYTHON ?? 'python3';

interface CaseResult {
  case: string;
  measures: {
    title: Record<string, string>;
    oursSeconds: number;
    peers: { seconds: number; ratio: number }[];
  }[];
}

/** Results stay as they are: only whole runs write them. */
async function runBench(args: string[], env: NodeJS.ProcessEnv = {}) {
  return runNode(bench('index.js'), ['--quick', ...args], { env: { ...process.env, ...env } });
}

async function resultOf(t: ExecutionContext, args: string[]): Promise<CaseResult> {
  const { code, stdout, stderr } = await runBench(args);
  t.is(code, 0, stderr);
  return JSON.parse(stdout);
}

const cases = (await readdir(bench('cases'))).map((name) => name.replace(/\.js$/, ''));

for (const name of cases) {
  test.serial(`${name} measures ours without a peer`, async (t) => {
    const result = await resultOf(t, [name, '--no-peer']);
    t.is(result.case, name);
    t.true(result.measures.length > 0);
    for (const { title, oursSeconds, peers } of result.measures) {
      t.deepEqual(Object.keys(title), ['en', 'zh']);
      t.true(oursSeconds > 0);
      t.deepEqual(peers, []);
    }
  });

  test.serial(`${name} and its peers agree`, async (t) => {
    const packages = ['torch', 'safetensors', name === 'pretrain-step' ? 'transformers' : 'torchcrf'];
    if ((await run(python, ['-c', `import ${packages}`])).code !== 0) {
      return unavailable(t, `${python} lacks one of ${packages.join(', ')}`);
    }
    for (const { peers } of (await resultOf(t, [name])).measures) {
      t.true(peers.length > 0);
      for (const { seconds, ratio } of peers) t.true(seconds > 0 && ratio > 0);
    }
  });
}

test.serial(
  'the delays of the event loop are measured while a text is tokenised and while texts are predicted',
  async (t) => {
    const { code, stdout, stderr } = await runNode(bench('event-loop.js'), ['--quick']);
    t.is(code, 0, stderr);
    const { tokenising, predicting } = JSON.parse(stdout);
    for (const { largestMs, p99Ms } of [tokenising, predicting]) t.true(largestMs >= p99Ms && p99Ms > 0);
  },
);

test.serial('callers are measured one at a time, beside load, and many at once', async (t) => {
  const { code, stdout, stderr } = await runNode(bench('calls.js'), ['--quick']);
  t.is(code, 0, stderr);
  const { characters, quiet, besideLoad, atOnce } = JSON.parse(stdout);
  t.is(characters, 100);
  for (const { medianMs, largestMs } of [quiet, besideLoad]) t.true(medianMs > 0 && largestMs >= medianMs);
  t.true(atOnce.singleMs > 0 && atOnce.togetherMs > 0);
});

test.serial("a peer that can't run is an error that names the remedy", async (t) => {
  // Node as the interpreter ends on the first line of Python.
  for (const [PYTHON, reason] of [
    [join(repoRoot, 'no-such-python'), "can't be run \\(ENOENT\\)"],
    [process.execPath, 'ended with 1'],
  ]) {
    const { code, stderr } = await runBench(['crf'], { PYTHON });
    t.is(code, 1);
    t.regex(stderr, new RegExp(`${reason}: pip install -r bench/peers/requirements.txt, .* PYTHON`));
  }
});

test.serial('a peer that computes something else is an error', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'albert-ner-bench-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const PYTHON = join(folder, 'python');
  const answersWith = (answer: object) => `#!${process.execPath}
    require('node:readline').createInterface({ input: process.stdin })
      .on('line', () => console.log('${JSON.stringify(answer)}'));`;
  for (const [answer, message] of [
    [{ loss: 1, emissions: 1, transitions: 1, start: 1, end: 1 }, /loss is .*, but 1 in k3 loss pytorch-crf/],
    [{ loss: 1 }, /k3 loss pytorch-crf answers with loss but ours with emissions, end/],
  ] as const) {
    await writeFile(PYTHON, answersWith(answer));
    await chmod(PYTHON, 0o755);
    const { code, stderr } = await runBench(['crf'], { PYTHON });
    t.is(code, 1);
    t.regex(stderr, message);
  }
});

test.serial('unknown cases and options are refused', async (t) => {
  for (const args of [['speed'], [], ['crf', '--fast']]) {
    const { code, stderr } = await runBench(args);
    t.is(code, 2);
    t.regex(stderr, /^error: /);
  }
});

test('the READMEs show the results that are stored', async (t) => {
  const { code, stderr } = await runNode(bench('readme-table.js'), []);
  t.is(code, 0, stderr);
});

test('the table of scores has a row for every dev part and leaves out labels with too few entities', async (t) => {
  const { withScores } = await import(bench('readme-table.js'));
  const row = (label: string, support: number, corpus = 'news') => ({
    corpus,
    label,
    support,
    ours: '91.26',
    crfsuite: '80.04',
  });
  const rows = [row('PER LOC ORG', 90), row('PER', 10), row('LOC', 9), row('T', 11, 'chat')];
  for (const [language, file] of [
    ['en', 'README.md'],
    ['zh', 'README.zh-CN.md'],
  ]) {
    const text = await readFile(join(repoRoot, file), 'utf8');
    const written = withScores(text, rows, language);
    t.true(written.includes('| news | 91.3 | – | – | – | 91.3 | 80.0 |'), written);
    t.true(written.includes('| chat | – | – | – | 91.3 | – | – |'), written);
    t.throws(() => withScores('no marks', [], language), { message: /in the README/ });
  }
});

test('tables have a row for every peer, and replace what stood between their marks', async (t) => {
  const { withTables } = await import(bench('readme-table.js'));
  const result = {
    machine: '2 x CPU',
    date: '2001-02-03',
    rounds: 5,
    buildInfo: { instructionSet: 'avx2' },
    versions: { python: '3', torch: '2' },
    measures: [
      {
        title: { en: 'a step', zh: '一步' },
        note: { en: 'A step of sorts.', zh: '某种一步。' },
        oursSeconds: 0.01234567,
        peers: [
          { title: { en: 'slow', zh: '慢' }, seconds: 12.34567, ratio: 1000.1 },
          { title: { en: 'slower', zh: '更慢' }, seconds: 123.4567, ratio: 10001 },
        ],
        limit: { share: 0.715 },
      },
    ],
  };
  const tables: Record<string, [string, string[]]> = {
    en: ['README.md', ['| a step | 12.3 ms | slow | 12300 ms | 1000× | 72 % |', '| slower | 123000 ms |']],
    zh: ['README.zh-CN.md', ['| 一步 | 12.3 ms | 慢 | 12300 ms | 1000× | 72 % |', '| 更慢 | 123000 ms |']],
  };
  for (const [language, [file, rows]] of Object.entries(tables)) {
    const text = await readFile(join(repoRoot, file), 'utf8');
    const empty = withTables(text, [], language);
    const written = withTables(empty, [result], language);
    for (const row of rows) t.true(written.includes(row), written);
    t.regex(written, /2001-02-03.*2 x CPU.*avx2.*python 3, torch 2/);
    t.is(written.split(result.measures[0].note[language as 'en' | 'zh']).length, 2);
    t.is(withTables(written, [], language), empty);
    // Runs of different days are different tables.
    const other = { ...result, date: '2002-02-03' };
    const both = withTables(empty, [result, other], language);
    t.regex(both, /2001-02-03.*2002-02-03/s);
    // Markdown's formatter would take out a second blank line.
    t.notRegex(both, /\n\n\n/);
    t.throws(() => withTables('no marks', [result], language), { message: /in the README/ });
  }
});
