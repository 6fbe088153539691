/**
 * Stops training runs at random steps and resumes them, while processes burn the processor and other sessions, of other numbers of
 * threads, come and go in this one. Each must end with the bits of the run that nobody stopped. Prints one JSON line; exits with 1
 * when a run differs.
 *
 *   node dist/test/process/children/stress-resume.js --runs 300 [--burn 2] [--seed 1]
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sha256File } from '../../../lib/files.js';
import { readEncoderFolder } from '../../../lib/model/encoder-folder.js';
import { nativeEncoderConfig } from '../../../lib/model/native-config.js';
import { loadNative } from '../../../lib/native/load.js';
import { createRandom } from '../../../lib/random.js';
import type { TrainingEvent } from '../../../lib/training/events.js';
import { type TrainOptions, trainingFiles } from '../../../lib/training/trainer.js';
import { type TinyFiles, tinyConfig, trainOn, writeTinyFiles } from '../../support/tiny-model.js';

const MOST_THREADS = 6;
/** Steps of a run. */
const STEPS = 100;

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '300' },
    burn: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
  },
});
const random = createRandom(Number(options.seed));
const folder = await mkdtemp(join(tmpdir(), 'albert-ner-stress-'));
const burners: ChildProcess[] = [];
let finished = false;
try {
  for (let k = 0; k < Number(options.burn); k += 1)
    burners.push(spawn(process.execPath, ['-e', 'for (;;);']));
  const files = await writeTinyFiles(folder);
  const config = await tinyConfig('train.epochs=2', 'train.finetune=full', 'train.average_ratio=0.5');
  const others = openOtherSessions(files);
  const expected = await trainTo('whole', files, { config });
  let different = 0;
  for (let run = 0; run < Number(options.runs); run += 1) {
    if ((await stopAndResume(files, { config }, random.int(STEPS - 1) + 1)) !== expected) different += 1;
  }
  finished = true;
  const sessions = await others;
  console.log(JSON.stringify({ runs: Number(options.runs), different, sessions }));
  process.exitCode = different > 0 ? 1 : 0;
} finally {
  finished = true;
  for (const burner of burners) burner.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
}

/** Hash of what a run leaves: the model and all that a next one would resume from. */
async function trainTo(
  name: string,
  files: TinyFiles,
  training: Pick<TrainOptions, 'config' | 'resume' | 'signal' | 'onEvent'>,
): Promise<string> {
  const output = join(folder, name);
  const { directory } = await trainOn(files, { ...training, output });
  const weights = [join(directory, 'model.safetensors'), trainingFiles(output).last];
  return (await Promise.all(weights.map(sha256File))).join(' ');
}

async function stopAndResume(
  files: TinyFiles,
  training: Pick<TrainOptions, 'config'>,
  step: number,
): Promise<string> {
  await rm(join(folder, 'parts'), { recursive: true, force: true });
  const controller = new AbortController();
  let steps = 0;
  const onEvent = ({ type }: TrainingEvent): void => {
    if (type !== 'step') return;
    steps += 1;
    if (steps === step) controller.abort();
  };
  const stopped = await trainTo('parts', files, { ...training, signal: controller.signal, onEvent }).catch(
    ({ code }) => code,
  );
  if (stopped !== 'ERR_ABORTED')
    throw new Error(`Expected a run stopped at step ${step} but received ${stopped}`);
  return trainTo('parts', files, { ...training, resume: true });
}

/** One after the other, until all runs are finished. Returns how many there were. */
async function openOtherSessions(files: TinyFiles): Promise<number> {
  const addon = loadNative();
  const { config, vocab, weights } = await readEncoderFolder(files.encoder);
  let sessions = 0;
  while (!finished) {
    const session = new addon.Session({ device: 'cpu', threads: 1 + random.int(MOST_THREADS) });
    await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
    await session.encode({ ids: new Int32Array(60).fill(5), offsets: Int32Array.of(0, 60) });
    await session.dispose();
    sessions += 1;
  }
  return sessions;
}
