import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { metricsWriter } from '../../lib/training/metrics.js';
import { run, runCli } from '../support/child.js';
import { repoRoot } from '../support/paths.js';
import { type TinyFiles, trainTinyModel } from '../support/tiny-model.js';

let folder: string;
let files: TinyFiles;
let model: string;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'albert-ner-test-'));
  ({ files, directory: model } = await trainTinyModel(folder));
  await writeFile(join(folder, 'file'), 'content');
  await mkdir(join(folder, 'taken'));
  await mkdir(join(folder, 'half'));
  await writeFile(join(folder, 'half', 'training'), 'content');
});

test.after.always(() => rm(folder, { recursive: true, force: true }));

const TINY = ['max_length=64', 'hidden_size=16', 'train.epochs=1'].flatMap((set) => ['--set', set]);

test.serial('an output that cannot be written is refused before any work, by its option', async (t) => {
  const train = ['train', '--train', files.trainData, '--encoder', files.encoder, ...TINY, '--out'];
  const cases: [string[], string, string][] = [
    [['predict', '--model', model, '--text', '王', '--html'], 'taken', '--html'],
    [['predict', '--model', model, '--text', '王', '--html'], 'file/page.html', '--html'],
    [train, 'file', '--out'],
    [train, 'file/model', '--out'],
    [['pretrain', '--text', files.trainData, '--steps', '2', '--out'], 'file', '--out'],
    [['convert', files.encoder], 'file', '<out>'],
    [['vocab', '--text', files.trainData, '--out'], 'taken', '--out'],
    [[...train.slice(0, -1), '--out'], 'half', '--out'],
  ];
  const before = await readdir(folder, { recursive: true });
  for (const [args, name, option] of cases) {
    const { code, stdout, stderr } = await runCli([...args, join(folder, name)]);
    t.is(code, 2, stderr);
    t.is(stdout, '');
    t.true(stderr.startsWith(`error ERR_INVALID_ARGUMENT: Expected a `), stderr);
    t.true(stderr.includes(`that can be written for ${option} but received ${join(folder, name)}`), stderr);
    t.is(stderr.trimEnd().split('\n').length, 1, stderr);
  }
  t.deepEqual(await readdir(folder, { recursive: true }), before);
  t.is(await readFile(join(folder, 'file'), 'utf8'), 'content');
});

test.serial('a folder with a model is trained into only when told to go on or to begin anew', async (t) => {
  const out = join(folder, 'out');
  const args = ['train', '--train', files.trainData, '--encoder', files.encoder, ...TINY, '--out', out];
  t.is((await runCli(args)).code, 0);
  const again = await runCli(args);
  t.is(again.code, 2);
  t.regex(
    again.stderr,
    /Expected --resume to go on, or --overwrite to begin anew, .* holds a model, an encoder or a run/,
  );
  t.is((await runCli([...args, '--overwrite', '--resume'])).code, 2);
  t.is((await runCli([...args, '--overwrite', '--seed', '2'])).code, 0);
  const pretrain = await runCli([
    'pretrain',
    '--text',
    files.trainData,
    '--steps',
    '0',
    '--out',
    files.encoder,
  ]);
  t.is(pretrain.code, 2);
  t.regex(pretrain.stderr, /holds an encoder or a run/);
  const over = await runCli([...args.slice(0, -1), files.encoder, '--overwrite']);
  t.is(over.code, 2);
  t.regex(over.stderr, /another folder for --out than for --encoder/);
  const convert = ['convert', files.encoder, out];
  const refused = await runCli(convert);
  t.is(refused.code, 2);
  t.regex(refused.stderr, /Expected --overwrite to replace it, since .* holds a model or an encoder/);
  t.is((await runCli([...convert, '--overwrite'])).code, 0);
});

test.serial('a standard output that is full is a fault of the system, not a bug', async (t) => {
  const script = join(repoRoot, 'scripts', 'albert-ner.js');
  const { code, stderr } = await run('sh', [
    '-c',
    `"${process.execPath}" "${script}" inspect "${model}" > /dev/full`,
  ]);
  t.is(code, 1);
  t.regex(stderr, /^error ERR_IO: .*standard output: ENOSPC/);
});

test.serial('what a run records of itself are its results, not its progress', async (t) => {
  const file = join(folder, 'metrics.jsonl');
  const record = metricsWriter(file);
  for (const task of ['text', 'n-grams', 'features'] as const) {
    record({ type: 'progress', task, done: 1, total: 2 });
  }
  record({ type: 'resume', epoch: 1, step: 2 });
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  t.deepEqual(
    lines.map((line) => JSON.parse(line).type),
    ['resume'],
  );
});

test.serial('a device is no file to write', async (t) => {
  for (const args of [
    ['predict', '--model', model, '--text', '王', '--html', '/dev/null'],
    ['vocab', '--text', files.trainData, '--out', '/dev/null'],
  ]) {
    const { code, stderr } = await runCli(args);
    t.is(code, 2);
    t.regex(stderr, /it is a device or a pipe/);
  }
});
