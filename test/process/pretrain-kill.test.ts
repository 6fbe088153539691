import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { readSafetensorsHeader, readTensor } from '../../albert/convert/safetensors.js';
import { toHuggingFaceConfig } from '../../albert/encoder-config.js';
import { generateSampleCorpus } from '../../lib/data/sample-corpus.js';
import { pretrainingFiles } from '../../lib/pretraining/pretrainer.js';
import { cliScript, countFileOperations, runCli, runKilledAt } from '../support/child.js';
import { temporaryFolder } from '../support/paths.js';
import { TINY_ENCODER } from '../support/tiny-model.js';

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
  const { tensors } = await readSafetensorsHeader(file);
  return new Map(
    await Promise.all(tensors.map(async (info) => [info.name, await readTensor(file, info)] as const)),
  );
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
  const operations = await countFileOperations(cliScript, [...args, '--out', 'whole'], { cwd: folder });

  const files = pretrainingFiles(join(folder, 'killed'));
  for (const [index, share] of [0.15, 0.27, 0.31].entries()) {
    const run = [...args, '--out', 'killed', ...(index === 0 ? [] : ['--resume'])];
    const killed = await runKilledAt(Math.ceil(share * operations), cliScript, run, { cwd: folder });
    t.is(killed.signal, 'SIGKILL', killed.stderr);
  }
  const resumed = await runCli([...args, '--out', 'killed', '--resume'], { cwd: folder });
  t.is(resumed.code, 0, resumed.stderr);
  t.deepEqual(await tensorsOf(files.last), await tensorsOf(pretrainingFiles(join(folder, 'whole')).last));
});
