import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { writeConll } from '../../lib/data/read-conll.js';
import { generateSampleCorpus } from '../../lib/data/sample-corpus.js';
import { runCli, runNode } from '../support/child.js';
import { goldenConfig, goldenTensors, toTensorFlow } from '../support/foreign-encoders.js';
import { fixture, repoRoot, temporaryFolder } from '../support/paths.js';
import { writeBundle } from '../support/tf-bundle-writer.js';

async function writeCheckpoint(folder: string): Promise<string> {
  const { model_type: _, architectures: __, ...config } = await goldenConfig('google-relu-groups');
  await writeFile(join(folder, 'albert_config.json'), JSON.stringify(config));
  await copyFile(fixture('albert', 'google-gelu', 'vocab.txt'), join(folder, 'vocab.txt'));
  return writeBundle(
    join(folder, 'model.ckpt'),
    toTensorFlow(await goldenTensors('google-relu-groups'), 'google'),
  );
}

test('convert prints what it did, verifies, and says the same as JSON', async (t) => {
  const folder = await temporaryFolder(t);
  const prefix = await writeCheckpoint(folder);
  const plain = await runCli([
    'convert',
    prefix,
    join(folder, 'out'),
    '--verify',
    '--to',
    'hf',
    '--threads',
    '1',
  ]);
  t.is(plain.code, 0, plain.stderr);
  t.regex(plain.stdout, /^encoder: .*\(google, 4 layers of 24, 4 heads, relu, layer norms post\)$/m);
  t.regex(plain.stdout, /^from: tensorflow, \d+ tensors: \d+ used, 0 skipped, 0 unknown/m);
  t.regex(plain.stdout, /^fingerprint: rms \d/m);
  t.regex(plain.stderr, /convert: 1\/1 MiB/);
  const json = await runCli(['convert', prefix, join(folder, 'out'), '--overwrite', '--json', '--quiet']);
  t.is(json.stderr, '');
  const report = JSON.parse(json.stdout);
  t.deepEqual(report, JSON.parse(await readFile(join(folder, 'out', 'conversion.json'), 'utf8')));
});

test('convert refuses with code, reason and exit code, and needs no addon', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'model.bin'), 'no weights at all');
  const env = { ...process.env, ALBERT_NER_ADDON: join(folder, 'none.node') };
  const refused = await runCli(['convert', join(folder, 'model.bin'), join(folder, 'out'), '--json'], {
    env,
  });
  t.is(refused.code, 3);
  t.like(JSON.parse(refused.stderr), {
    error: { code: 'ERR_CHECKPOINT_UNREADABLE', details: { reason: 'E_FORMAT', byteOffset: 0 } },
  });
  t.is((await runCli(['convert', folder])).code, 2);
  t.is((await runCli(['convert', folder, folder, '--activation', 'mish'])).code, 2);
  const prefix = await writeCheckpoint(folder);
  const script = join(repoRoot, 'scripts', 'convert.js');
  t.is((await runNode(script, [prefix, join(folder, 'out')], { env })).code, 0);
});

test('train takes a checkpoint as encoder and converts it once', async (t) => {
  const folder = await temporaryFolder(t);
  await writeCheckpoint(folder);
  const corpus = generateSampleCorpus({ seed: 7, sentences: 40, part: 'train' });
  await writeFile(join(folder, 'train.txt'), writeConll(corpus));
  const settings = [
    'encoder: model.ckpt',
    'max_length: 32',
    'window_margin: 4',
    'hidden_size: 8',
    'train: { data: train.txt, epochs: 1 }',
  ];
  await writeFile(join(folder, 'config.yml'), settings.join('\n'));
  const env = { ...process.env, ALBERT_NER_CACHE: join(folder, 'cache') };
  const args = ['train', '--config', join(folder, 'config.yml'), '--threads', '1'];
  const first = await runCli([...args, '--out', join(folder, 'a')], { env });
  t.is(first.code, 0, first.stderr);
  t.regex(first.stderr, /converted .*model\.ckpt \(tensorflow, google\)/);
  const second = await runCli([...args, '--out', join(folder, 'b')], { env });
  t.is(second.code, 0, second.stderr);
  t.notRegex(second.stderr, /converted/);
});
