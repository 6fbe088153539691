import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { runCli, runNode } from '../support/child.js';
import { repoRoot } from '../support/paths.js';
import { type TinyFiles, trainTinyModel } from '../support/tiny-model.js';

let folder: string;
let files: TinyFiles;
let model: string;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'albert-ner-test-'));
  ({ files, directory: model } = await trainTinyModel(folder));
});

test.after.always(() => rm(folder, { recursive: true, force: true }));

const COMMANDS = ['setup', 'doctor', 'convert', 'pretrain', 'train', 'evaluate', 'predict', 'inspect'];
const TINY = ['max_length=64', 'hidden_size=16', 'batch_size=64', 'train.epochs=2'].flatMap((set) => [
  '--set',
  set,
]);

test('every command has a help page, without the addon', async (t) => {
  const env = { ...process.env, ALBERT_NER_ADDON: join(folder, 'none.node') };
  const all = await runCli(['--help'], { env });
  t.is(all.code, 0);
  for (const command of COMMANDS) {
    t.true(all.stdout.includes(`${command}`), command);
    const { code, stdout } = await runCli([command, '--help'], { env });
    t.is(code, 0, command);
    t.true(stdout.startsWith(`Usage: albert-ner ${command}`));
  }
});

test('usage errors exit with 2 and write nothing to standard output', async (t) => {
  for (const args of [
    ['nonsense'],
    ['train', '--bogus'],
    ['evaluate'],
    ['predict', '--device', 'gpu'],
    ['predict', '--threads', '-1'],
    ['predict', '--text', '王', '--set', 'train.epocs=3'],
    ['predict', '--text', '王', '--min-score', 'high'],
    ['predict', '--html', 'page.html'],
    ['evaluate', '--data', 'x', '--format', 'xml'],
    ['evaluate', '--data', 'x', '--set', 'trian=1'],
    ['inspect', 'x', '--set', 'trian=1'],
    ['train', '--seed', '1.5'],
    ['train', '--set', 'train.epocs=3'],
    ['train', '--stop-after', '0'],
    ['pretrain', '--steps', '5', '--out', 'x'],
    ['pretrain', '--steps', '0', '--out', 'x'],
  ]) {
    const { code, stdout, stderr } = await runCli(args, { cwd: folder });
    t.is(code, 2, `${args.join(' ')}: ${stderr}`);
    t.is(stdout, '');
    t.not(stderr, '');
  }
});

test('data, model and native errors have their exit codes', async (t) => {
  const empty = join(folder, 'empty.txt');
  await writeFile(empty, '');
  t.is((await runCli(['evaluate', '--model', model, '--data', empty])).code, 3);
  t.is((await runCli(['evaluate', '--model', join(folder, 'none'), '--data', files.devData])).code, 3);
  const env = { ...process.env, ALBERT_NER_ADDON: join(folder, 'none.node') };
  const native = await runCli(['predict', '--model', model, '--text', '王'], { env });
  t.is(native.code, 4);
  t.regex(native.stderr, /ERR_NATIVE_NOT_FOUND.*npx albert-ner setup/s);
});

test('errors are one JSON object with --json', async (t) => {
  const { code, stderr } = await runCli([
    'evaluate',
    '--model',
    join(folder, 'none'),
    '--data',
    files.devData,
    '--json',
  ]);
  t.is(code, 3);
  t.like(JSON.parse(stderr), { error: { code: 'ERR_MODEL_NOT_FOUND' } });
});

test('pretrain, train, evaluate and predict work one after another', async (t) => {
  const text = join(folder, 'text.txt');
  const lines = (await readFile(files.trainData, 'utf8')).split('\n').map((line) => line.split('\t')[0]);
  await writeFile(text, lines.join('\n'));
  const encoder = join(folder, 'cli-encoder');
  const made = await runCli([
    'pretrain',
    '--steps',
    '0',
    '--text',
    text,
    '--out',
    encoder,
    '--seed',
    '4',
    '--json',
  ]);
  t.is(made.code, 0, made.stderr);
  t.is(JSON.parse(made.stdout).config.hiddenSize, 192);
  const again = join(folder, 'cli-encoder-2');
  await runCli(['pretrain', '--steps', '0', '--text', text, '--out', again, '--seed', '4']);
  const weights = (directory: string) => readFile(join(directory, 'model.safetensors'));
  t.deepEqual(await weights(again), await weights(encoder));

  const [compact, further] = [join(folder, 'cli-compact'), join(folder, 'cli-further')];
  const shape = ['--encoder-config', 'compact'];
  await runCli(['pretrain', '--steps', '0', '--text', text, '--out', compact, ...shape]);
  const from = await runCli([
    'pretrain',
    '--steps',
    '1',
    '--text',
    text,
    '--from',
    compact,
    '--out',
    further,
  ]);
  t.is(from.code, 0, from.stderr);
  t.is(JSON.parse(await readFile(join(further, 'config.json'), 'utf8')).hidden_size, 256);

  const output = join(folder, 'cli-model');
  const data = ['--train', files.trainData, '--dev', files.devData, '--encoder', encoder, '--out', output];
  const trained = await runCli(['train', ...data, ...TINY], { cwd: folder });
  t.is(trained.code, 0, trained.stderr);
  t.regex(trained.stdout, /micro avg/);
  t.regex(trained.stderr, /epoch 2\/2.*loss/);
  t.false(trained.stderr.includes('\x1b'));
  const table = trained.stdout.split('model:')[0];

  const evaluated = await runCli(['evaluate', '--model', output, '--data', files.devData]);
  t.is(evaluated.stdout, table);
  const config = await readFile(join(output, 'training', 'config.yml'), 'utf8');
  t.regex(config, /epochs: 2/);
  const metrics = (await readFile(join(output, 'training', 'metrics.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.deepEqual(
    metrics.map(({ type }) => type),
    ['data', 'epoch', 'evaluation', 'epoch', 'evaluation', 'stop'],
  );

  const resumed = await runCli(['train', ...data, ...TINY, '--set', 'train.epochs=3', '--resume'], {
    cwd: folder,
  });
  t.is(resumed.code, 0, resumed.stderr);
  t.regex(resumed.stderr, /resumed after 2 epochs/);
});

test('training warns of tags that cannot stand where they do', async (t) => {
  const odd = join(folder, 'odd.txt');
  await writeFile(odd, '在\tO\n明\tI-PER\n\n'.repeat(12) + (await readFile(files.devData, 'utf8')));
  const data = ['--train', odd, '--encoder', files.encoder, '--out', join(folder, 'odd-model')];
  const { code, stderr } = await runCli(['train', ...data, ...TINY], { cwd: folder });
  t.is(code, 0, stderr);
  t.true(stderr.includes(`warning ${odd}:2: I-PER`), stderr);
  t.regex(stderr, /and 2 more warnings/);
});

test('evaluate narrows to labels and prints JSON', async (t) => {
  const args = ['evaluate', '--model', model, '--data', files.trainData, '--json', '--quiet'];
  const { code, stdout, stderr } = await runCli([...args, '--labels', 'PER,LOC']);
  t.is(code, 0);
  t.is(stderr, '');
  const report = JSON.parse(stdout);
  t.deepEqual(Object.keys(report.types).sort(), ['LOC', 'PER']);
  t.deepEqual(Object.keys(report.micro).slice(0, 3), ['precision', 'recall', 'f1']);
  t.is(report.sentences, 400);
  t.true(report.tokens > 4000);
  t.is((await runCli([...args, '--labels', 'PERSON'])).code, 2);
});

test('predict prints a table, JSON and JSON lines, and writes a page', async (t) => {
  const [sentence] = await knownSentences();
  const page = join(folder, 'page.html');
  const table = await runCli(['predict', '--model', model, '--text', sentence, '--html', page]);
  t.is(table.code, 0, table.stderr);
  t.regex(table.stdout, /label.*start.*end.*score/);
  t.regex(await readFile(page, 'utf8'), /<mark/);
  const json = await runCli(['predict', '--model', model, '--text', sentence, '--json']);
  const [{ text, entities }] = JSON.parse(json.stdout);
  t.true(entities.length > 0);
  for (const entity of entities) t.is(text.slice(entity.start, entity.end), entity.text);
  const file = join(folder, 'article.txt');
  await writeFile(file, `\ufeff${sentence}\r\n${sentence}`);
  const lines = await runCli(['predict', '--model', model, '--jsonl', file]);
  t.is(JSON.parse(lines.stdout).entities.length, 2 * entities.length);
});

async function knownSentences(): Promise<string[]> {
  const text = await readFile(files.trainData, 'utf8');
  return text
    .split('\n\n')
    .filter((sentence) => sentence.includes('B-LOC'))
    .map((sentence) =>
      sentence
        .split('\n')
        .map((line) => line.split('\t')[0])
        .join(''),
    );
}

test('inspect shows models and encoders without the addon', async (t) => {
  const env = { ...process.env, ALBERT_NER_ADDON: join(folder, 'none.node') };
  const shown = await runCli(['inspect', model], { env });
  t.regex(shown.stdout, /labels: LOC ORG PER T/);
  const json = JSON.parse((await runCli(['inspect', files.encoder, '--json'], { env })).stdout);
  t.like(json, { kind: 'encoder', encoder: { hiddenSize: 48 } });
  const unfinished = join(folder, 'unfinished');
  await cp(model, unfinished, { recursive: true });
  for (const mark of ['model.json', 'config.json']) await rm(join(unfinished, mark));
  t.regex((await runCli(['inspect', unfinished], { env })).stderr, /interrupted/);
});

test('an interrupted training saves, says so with 130, and resumes', async (t) => {
  const output = join(folder, 'interrupted');
  const args = [
    '--train',
    files.trainData,
    '--dev',
    files.devData,
    '--encoder',
    files.encoder,
    '--out',
    output,
    ...TINY,
  ];
  const set = ['--set', 'train.epochs=500', '--set', 'train.decay=none'];
  const { spawn } = await import('node:child_process');
  const child = spawn(process.execPath, [join(repoRoot, 'scripts', 'train.js'), ...args, ...set], {
    cwd: folder,
  });
  let seen = '';
  let interrupted = false;
  child.stderr.on('data', (data) => {
    seen += data;
    if (seen.includes('epoch 3:') && !interrupted) {
      interrupted = true;
      child.kill('SIGINT');
    }
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  t.is(code, 130, seen);
  t.regex(seen, /error ERR_ABORTED/);
  const resumed = await runCli(['train', ...args, ...set, '--resume', '--stop-after', '5'], { cwd: folder });
  t.is(resumed.code, 0, resumed.stderr);
  t.regex(resumed.stderr, /resumed after \d+ epochs/);
});

test('the scripts of a checkout are the commands, from any folder', async (t) => {
  const { code, stdout } = await runNode(join(repoRoot, 'scripts', 'inspect.js'), [model, '--json'], {
    cwd: folder,
  });
  t.is(code, 0);
  t.is(JSON.parse(stdout).kind, 'model');
});

test('a reader that closes the pipe early is no error', async (t) => {
  const { code, stderr } = await runNode('-e', [
    `const { spawn } = require('node:child_process');
     const child = spawn(process.execPath, ${JSON.stringify([join(repoRoot, 'scripts', 'inspect.js'), model])}, { stdio: ['ignore', 'pipe', 'inherit'] });
     child.stdout.destroy();
     child.on('close', (code) => process.exit(code));`,
  ]);
  t.is(code, 0, stderr);
});
