import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import test from 'ava';
import { readSafetensorsHeader, readTensor } from '../../albert/convert/safetensors.js';
import { toHuggingFaceConfig } from '../../albert/encoder-config.js';
import { generateSampleCorpus } from '../../lib/data/sample-corpus.js';
import { pretrainingFiles } from '../../lib/pretraining/pretrainer.js';
import { runCli } from '../support/child.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';
import { TINY_ENCODER } from '../support/tiny-model.js';

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
  const { tensors } = await readSafetensorsHeader(file);
  return new Map(
    await Promise.all(tensors.map(async (info) => [info.name, await readTensor(file, info)] as const)),
  );
}

/** The last step of a run's log; 0 before the first. */
async function lastStep(metrics: string): Promise<number> {
  const text = await readFile(metrics, 'utf8').catch(() => '');
  return Number([...text.matchAll(/"type":"report","step":(\d+)/g)].at(-1)?.[1] ?? 0);
}

test('a run killed at any moment resumes to the weights of an uninterrupted one', async (t) => {
  const folder = await temporaryFolder(t);
  const sentences = generateSampleCorpus({ seed: 5, sentences: 600, part: 'train' }).map(({ text }) => text);
  await writeFile(join(folder, 'text.txt'), sentences.join('\n\n'));
  const encoder = { ...TINY_ENCODER, vocabSize: 1000 };
  await writeFile(join(folder, 'tiny.json'), JSON.stringify(toHuggingFaceConfig(encoder)));
  const settings = ['batch_units=512', 'max_length=64', 'report_every=1', 'save_every=4', 'eval_every=10'];
  const args = [
    'pretrain',
    ...['--text', 'text.txt', '--encoder-config', 'tiny.json', '--tokens', 'tokens', '--steps', '60'],
    ...['--threads', '1', '--device', 'cpu', '--quiet'],
    ...settings.flatMap((setting) => ['--set', `pretrain.${setting}`]),
  ];
  const whole = await runCli([...args, '--out', 'whole'], { cwd: folder });
  t.is(whole.code, 0, whole.stderr);

  const files = pretrainingFiles(join(folder, 'killed'));
  for (const killAfter of [6, 23, 41]) {
    const script = join(repoRoot, 'scripts', 'albert-ner.js');
    const resume = killAfter === 6 ? [] : ['--resume'];
    const child = spawn(process.execPath, [script, ...args, '--out', 'killed', ...resume], { cwd: folder });
    const ended = once(child, 'exit');
    while ((await lastStep(files.metrics)) < killAfter && child.exitCode === null) await wait(5);
    child.kill('SIGKILL');
    t.is((await ended)[1], 'SIGKILL');
  }
  const resumed = await runCli([...args, '--out', 'killed', '--resume'], { cwd: folder });
  t.is(resumed.code, 0, resumed.stderr);
  t.deepEqual(await tensorsOf(files.last), await tensorsOf(pretrainingFiles(join(folder, 'whole')).last));
});
