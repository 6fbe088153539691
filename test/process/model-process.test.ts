import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { readEncoderPreset } from '../../albert/encoder-config.js';
import { readModelDirectory } from '../../lib/model/model-directory.js';
import { initEncoder } from '../../lib/training/init-encoder.js';
import { loadTrainingState } from '../../lib/training/state.js';
import { trainingFiles } from '../../lib/training/trainer.js';
import { childProgram, runKilledAt, runNode } from '../support/child.js';
import { buildVocab, type TinyFiles, tinyConfig, trainOn, trainTinyModel } from '../support/tiny-model.js';

let folder: string;
let directory: string;
let files: TinyFiles;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'albert-ner-test-'));
  ({ directory, files } = await trainTinyModel(folder));
});

test.after.always(() => rm(folder, { recursive: true, force: true }));

async function run(name: string, ...args: string[]) {
  const result = await runNode(childProgram(name), [directory, ...args]);
  return { ...result, text: `${name}: ${JSON.stringify(result)}` };
}

test.serial('the event loop turns between the texts while 64 long ones are predicted', async (t) => {
  const { code, stdout, text } = await run('event-loop');
  t.is(code, 0, text);
  const { turns, windows, peakRssMb } = JSON.parse(stdout);
  t.log(`${turns} turns of the event loop, ${windows} windows, peak RSS ${peakRssMb.toFixed(0)} MB`);
  t.true(windows > 64 * 50);
  t.true(turns >= 64, text);
  t.true(peakRssMb < 300, text);
});

test.serial('a line of one megabyte is tagged whole within 300 MB', async (t) => {
  const { code, stdout, text } = await run('long-line');
  t.is(code, 0, text);
  const { bytes, windows, allExact, peakRssMb } = JSON.parse(stdout);
  t.log(`${windows} windows, peak RSS ${peakRssMb.toFixed(0)} MB`);
  t.true(bytes >= 1 << 20);
  t.true(windows > 3000);
  t.true(allExact);
  t.true(peakRssMb < 300, text);
});

test.serial('predicting with the mini encoder takes less than 300 MB', async (t) => {
  // As many ideographs as the published vocabulary has entries.
  const ideographs = String.fromCodePoint(...Array.from({ length: 20_900 }, (_, k) => 0x4e00 + k));
  const encoder = join(folder, 'mini');
  await initEncoder({
    config: await readEncoderPreset('mini'),
    vocab: buildVocab([ideographs]),
    seed: 1,
    output: encoder,
  });
  const output = join(folder, 'mini-model');
  const mini = { ...files, encoder, trainData: files.devData };
  await trainOn(mini, {
    output,
    devData: null,
    config: await tinyConfig('train.epochs=1', 'hidden_size=128'),
  });
  const { code, stdout, stderr } = await runNode(childProgram('peak-memory'), [output]);
  t.is(code, 0, stderr);
  const { texts, peakRssMb } = JSON.parse(stdout);
  t.log(`peak RSS ${peakRssMb.toFixed(0)} MB`);
  t.is(texts, 64);
  t.true(peakRssMb < 300, stdout);
});

test.serial(
  'four worker threads load and predict, and one terminated in a call disturbs nobody',
  async (t) => {
    const { code, stdout, text } = await run('workers');
    t.is(code, 0, text);
    t.deepEqual(JSON.parse(stdout), { equal: true, survived: true });
  },
);

test.serial('a process with a loaded model ends by itself', async (t) => {
  const { code, stdout, text } = await run('idle');
  t.is(code, 0, text);
  t.is(stdout, 'done\n');
});

test.serial('leaving the process in the middle of a call ends it cleanly', async (t) => {
  for (const calls of [0, 1, 2, 5]) {
    const { code, stdout, text } = await run('exit-busy', String(calls));
    t.is(code, 0, text);
    if (process.platform === 'linux') t.is(JSON.parse(stdout).ended, 1, text);
  }
});

test.serial('a training run killed at any moment leaves a checkpoint that loads, or none', async (t) => {
  const output = join(folder, 'killed');
  const args = [files.encoder, files.trainData, files.devData, output];
  let resumed = 0;
  // The third is killed in its second epoch, so the others find a checkpoint.
  for (const operation of [20, 100, 150, 60, 90, 110]) {
    const { signal, stdout, stderr } = await runKilledAt(operation, childProgram('train-forever'), args);
    t.is(signal, 'SIGKILL', stderr);
    if (stdout.includes('resumed')) resumed += 1;
    if (existsSync(trainingFiles(output).last)) await loadTrainingState(trainingFiles(output).last);
    if (existsSync(join(output, 'model.json'))) await readModelDirectory(output);
  }
  t.is(resumed, 3);
});
