import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { readSafetensorsHeader, readTensor } from '../../albert/convert/safetensors.js';
import { readCorpus } from '../../lib/data/corpus.js';
import { AlbertNerError } from '../../lib/errors.js';
import { evaluateCorpus } from '../../lib/evaluation/evaluate.js';
import { loadModel } from '../../lib/model/load-model.js';
import type { TrainingEvent } from '../../lib/training/events.js';
import { trainingFiles } from '../../lib/training/trainer.js';
import { temporaryFolder } from '../support/paths.js';
import { tinyConfig, trainOn, trainTinyModel, writeTinyFiles } from '../support/tiny-model.js';

async function weightsHash(directory: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(join(directory, 'model.safetensors')))
    .digest('hex');
}

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
  const { tensors } = await readSafetensorsHeader(file);
  return new Map(
    await Promise.all(tensors.map(async (info) => [info.name, await readTensor(file, info)] as const)),
  );
}

test('a short run learns the sample corpus and reports every stage', async (t) => {
  const events: TrainingEvent[] = [];
  const folder = await temporaryFolder(t);
  const { report, directory, steps } = await trainTinyModel(folder, {
    config: await tinyConfig('train.epochs=25'),
    devData: join(folder, 'train.txt'),
    onEvent: (event) => events.push(event),
  });
  t.true(report.micro.f1 > 0.7, `F1 on the sentences it was trained on: ${report.micro.f1}`);
  t.deepEqual(Object.keys(report.types).sort(), ['LOC', 'ORG', 'PER', 'T']);
  const losses = events.flatMap((event) => (event.type === 'epoch' ? [event.loss] : []));
  t.is(losses.length, 25);
  t.true(losses[24] < losses[0] / 4, `losses ${losses}`);
  t.is(events.filter(({ type }) => type === 'step').length, steps);
  t.is(events.at(-1)?.type, 'stop');
  const left = await readdir(trainingFiles(directory).folder);
  t.deepEqual(left, ['last.safetensors']);
});

test('the saved model scores on dev exactly what training reported', async (t) => {
  const { report, directory, files } = await trainTinyModel(await temporaryFolder(t));
  const { description, session, tagger } = await loadModel(directory, { device: 'cpu', threads: 1 });
  const corpus = await readCorpus(files.devData);
  const again = await evaluateCorpus(tagger, corpus, { modelLabels: description.labels });
  await session.dispose();
  t.deepEqual(again.report, report);
});

test('two runs with one seed give equal weights, another seed gives others', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const hashes = [];
  for (const [index, seed] of [1, 1, 2].entries()) {
    const config = await tinyConfig('train.epochs=2', `seed=${seed}`);
    const { directory } = await trainOn(files, { config, output: join(folder, `model-${index}`) });
    hashes.push(await weightsHash(directory));
  }
  t.is(hashes[0], hashes[1]);
  t.not(hashes[0], hashes[2]);
});

test('four epochs equal two epochs and a resume of two, bit for bit', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const config = await tinyConfig('train.epochs=4');
  const whole = await trainOn(files, { config, output: join(folder, 'whole') });
  const output = join(folder, 'parts');
  await trainOn(files, { config, output, stopAfterEpochs: 2 });
  const parts = await trainOn(files, { config, output, resume: true });
  t.deepEqual(parts.reports, whole.reports);
  t.is(await weightsHash(parts.directory), await weightsHash(whole.directory));
  const last = await tensorsOf(trainingFiles(output).last);
  t.deepEqual(last, await tensorsOf(trainingFiles(whole.directory).last));
  t.true([...last.keys()].some((name) => name.startsWith('optimizer.')));
});

test('an aborted run saves its state and resumes in the middle of an epoch to the same bits', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const config = await tinyConfig('train.epochs=2');
  const whole = await trainOn(files, { config, output: join(folder, 'whole') });
  const output = join(folder, 'parts');
  const controller = new AbortController();
  const aborted = trainOn(files, {
    config,
    output,
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type === 'step' && event.epoch === 2 && event.step === 3) controller.abort();
    },
  });
  const error = await t.throwsAsync(aborted, { instanceOf: AlbertNerError });
  t.is((error as AlbertNerError).code, 'ERR_ABORTED');
  const parts = await trainOn(files, { config, output, resume: true });
  t.is(parts.steps, whole.steps);
  t.is(await weightsHash(parts.directory), await weightsHash(whole.directory));
});

test('a run that dies within an epoch resumes from its last evaluation to the same bits', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const config = await tinyConfig('train.epochs=1', 'train.eval_every_steps=20');
  const whole = await trainOn(files, { config, output: join(folder, 'whole') });
  const output = join(folder, 'parts');
  const onEvent = (event: TrainingEvent): void => {
    if (event.type === 'step' && event.step === 25) throw new Error('power cut');
  };
  await t.throwsAsync(trainOn(files, { config, output, onEvent }), { message: 'power cut' });
  const events: TrainingEvent[] = [];
  const parts = await trainOn(files, {
    config,
    output,
    resume: true,
    onEvent: (event) => events.push(event),
  });
  t.deepEqual(
    events.find((event) => event.type === 'resume'),
    { type: 'resume', epoch: 0, step: 20 },
  );
  t.is(parts.steps, whole.steps);
  t.is(await weightsHash(parts.directory), await weightsHash(whole.directory));
});

test('early stopping ends a run whose dev score no longer rises', async (t) => {
  const events: TrainingEvent[] = [];
  const config = await tinyConfig('train.epochs=50', 'train.patience=1', 'train.learning_rate=0');
  const { epochs } = await trainTinyModel(await temporaryFolder(t), {
    config,
    onEvent: (event) => events.push(event),
  });
  t.is(epochs, 2);
  t.deepEqual(events.at(-1), { type: 'stop', reason: 'patience' });
});

test('a run evaluates every so many steps when asked', async (t) => {
  const events: TrainingEvent[] = [];
  const config = await tinyConfig('train.epochs=1', 'train.eval_every_steps=20');
  await trainTinyModel(await temporaryFolder(t), { config, onEvent: (event) => events.push(event) });
  const steps = events.flatMap((event) => (event.type === 'evaluation' ? [event.step] : []));
  t.deepEqual(steps, [20, 40, 50]);
});

test('keeps the last model rather than the best when asked, and steps are the same', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const runs = [];
  for (const keep of ['best', 'last']) {
    // Too high a rate after a good first epoch, so that the last model isn't the best.
    const config = await tinyConfig(
      'train.epochs=4',
      'train.learning_rate=1',
      'train.decay=none',
      `train.keep=${keep}`,
    );
    const output = join(folder, keep);
    runs.push(await trainOn(files, { config, output }));
  }
  const [best, last] = runs;
  t.deepEqual(best.best, last.best);
  t.true((best.best?.epoch ?? 0) < 4);
  t.not(await weightsHash(best.directory), await weightsHash(last.directory));
  const epochOf = async (directory: string) => (await loadModel(directory)).description.training?.epoch;
  t.is(await epochOf(best.directory), best.best?.epoch);
  t.is(await epochOf(last.directory), 4);
});

test('the model is the mean of the weights after the last steps, and the steps are those without it', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const settings = ['train.epochs=2', 'train.keep=last', 'train.eval_every_steps=1'];
  const output = join(folder, 'plain');
  const states: Buffer[] = [];
  const onEvent = (event: TrainingEvent): void => {
    if (event.type !== 'evaluation' || event.step <= 95) return;
    states.push(readFileSync(join(output, 'model.safetensors')));
  };
  await trainOn(files, { config: await tinyConfig(...settings), output, onEvent });
  t.is(states.length, 5);
  const weights: Map<string, Float32Array>[] = [];
  for (const [index, state] of states.entries()) {
    await writeFile(join(folder, `${index}.safetensors`), state);
    weights.push(await tensorsOf(join(folder, `${index}.safetensors`)));
  }
  const config = await tinyConfig(...settings, 'train.average_ratio=0.05');
  const averaged = await trainOn(files, { config, output: join(folder, 'averaged') });
  for (const [name, values] of await tensorsOf(join(averaged.directory, 'model.safetensors'))) {
    const mean = values.map((_, k) => weights.reduce((sum, of) => sum + (of.get(name)?.[k] ?? 0), 0) / 5);
    const error = values.reduce((most, value, k) => Math.max(most, Math.abs(value - mean[k])), 0);
    t.true(error < 1e-6, `${name}: ${error}`);
  }
  const plainLast = await tensorsOf(trainingFiles(output).last);
  const last = await tensorsOf(trainingFiles(averaged.directory).last);
  for (const [name, values] of plainLast) t.deepEqual(last.get(name), values);
});

test('a run that is stopped among the averaged steps resumes to the same mean', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const config = await tinyConfig('train.epochs=2', 'train.finetune=full', 'train.average_ratio=0.5');
  const whole = await trainOn(files, { config, output: join(folder, 'whole') });
  const output = join(folder, 'parts');
  const controller = new AbortController();
  const onEvent = (event: TrainingEvent): void => {
    if (event.type === 'step' && event.epoch === 2 && event.step === 20) controller.abort();
  };
  await t.throwsAsync(trainOn(files, { config, output, signal: controller.signal, onEvent }));
  const parts = await trainOn(files, { config, output, resume: true });
  t.is(await weightsHash(parts.directory), await weightsHash(whole.directory));
  t.deepEqual(
    await tensorsOf(trainingFiles(output).last),
    await tensorsOf(trainingFiles(whole.directory).last),
  );
});

for (const evalEverySteps of [0, 20]) {
  test(`a run that is stopped in an evaluation (every ${evalEverySteps} steps) resumes with it`, async (t) => {
    const folder = await temporaryFolder(t);
    const files = await writeTinyFiles(folder);
    const config = await tinyConfig(
      'train.epochs=2',
      'train.finetune=full',
      `train.eval_every_steps=${evalEverySteps}`,
    );
    const evaluations: Record<string, string[]> = { whole: [], parts: [] };
    const listen = (name: string, controller?: AbortController) => (event: TrainingEvent) => {
      if (event.type === 'evaluation') evaluations[name].push(`${event.epoch} ${event.step}`);
      // The last step before an evaluation: the abort is found in there.
      if (event.type === 'step' && event.step === (evalEverySteps || event.steps)) controller?.abort();
    };
    const whole = await trainOn(files, { config, output: join(folder, 'whole'), onEvent: listen('whole') });
    const output = join(folder, 'parts');
    const controller = new AbortController();
    const stopped = trainOn(files, {
      config,
      output,
      signal: controller.signal,
      onEvent: listen('parts', controller),
    });
    t.is((await t.throwsAsync(stopped, { instanceOf: AlbertNerError })).code, 'ERR_ABORTED');
    t.deepEqual(evaluations.parts, []);
    const parts = await trainOn(files, { config, output, resume: true, onEvent: listen('parts') });
    t.deepEqual(evaluations.parts, evaluations.whole);
    t.deepEqual(parts.best, whole.best);
    t.is(await weightsHash(parts.directory), await weightsHash(whole.directory));
  });
}

test('a run that is prolonged forgets the mean of what were its last steps', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const settings = ['train.decay=none', 'train.warmup_ratio=0', 'train.keep=last'];
  const epochsAndRatios = [
    { before: [1, 0.5], after: [4, 0.5], same: 0.5 },
    { before: [3, 0.5], after: [4, 0.25], same: 0.25 },
    // The old last steps reach into the new ones: the mean begins where the run went on.
    { before: [3, 0.5], after: [4, 0.5], same: 0.25 },
  ];
  for (const [index, { before, after, same }] of epochsAndRatios.entries()) {
    const configOf = (epochs: number, ratio: number) =>
      tinyConfig(...settings, `train.epochs=${epochs}`, `train.average_ratio=${ratio}`);
    const output = join(folder, `parts-${index}`);
    await trainOn(files, { config: await configOf(before[0], before[1]), output });
    await trainOn(files, { config: await configOf(after[0], after[1]), output, resume: true });
    const whole = join(folder, `whole-${index}`);
    await trainOn(files, { config: await configOf(4, same), output: whole });
    t.is(await weightsHash(output), await weightsHash(whole), `${index}`);
  }
});

test('a prolonged run that is stopped at once may end where it first did', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const output = join(folder, 'model');
  const configOf = (epochs: number) =>
    tinyConfig('train.finetune=full', 'train.average_ratio=0.5', `train.epochs=${epochs}`);
  await trainOn(files, { config: await configOf(1), output });
  const prolonged = trainOn(files, {
    config: await configOf(9),
    output,
    resume: true,
    signal: AbortSignal.abort(),
  });
  t.is((await t.throwsAsync(prolonged, { instanceOf: AlbertNerError })).code, 'ERR_ABORTED');
  const { epochs } = await trainOn(files, { config: await configOf(1), output, resume: true });
  t.is(epochs, 1);
});

test('without dev data the last epoch is the model', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const config = await tinyConfig('train.epochs=2');
  const output = join(folder, 'model');
  const { reports, best } = await trainOn(files, { devData: null, config, output });
  t.deepEqual(reports, {});
  t.is(best?.epoch, 2);
});

test('a resume with other settings is refused and names the setting', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const output = join(folder, 'model');
  await trainOn(files, { config: await tinyConfig('train.epochs=1'), output });
  const config = await tinyConfig('batch_size=4');
  const error = await t.throwsAsync(trainOn(files, { config, output, resume: true }));
  t.is((error as AlbertNerError).code, 'ERR_INVALID_CONFIG');
  t.is((error as AlbertNerError).details.option, 'batch_size');
});

test('a resume without a checkpoint or from a damaged one is refused and changes nothing', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const config = await tinyConfig('train.epochs=1');
  const output = join(folder, 'model');
  const missing = await t.throwsAsync(trainOn(files, { config, output, resume: true }));
  t.is((missing as AlbertNerError).code, 'ERR_MODEL_NOT_FOUND');
  await trainOn(files, { config, output });
  const { last } = trainingFiles(output);
  const bytes = await readFile(last);
  await writeFile(last, bytes.subarray(0, bytes.length - 100));
  const damaged = await t.throwsAsync(trainOn(files, { config, output, resume: true }));
  t.is((damaged as AlbertNerError).code, 'ERR_CHECKPOINT_UNREADABLE');
  t.is((await readFile(last)).length, bytes.length - 100);
});

test('settings that disagree with the encoder are refused by name', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const output = join(folder, 'model');
  for (const [set, option] of [
    ['embedding_size=768', 'embedding_size'],
    ['max_length=512', 'max_length'],
  ]) {
    const error = await t.throwsAsync(trainOn(files, { config: await tinyConfig(set), output }));
    t.is((error as AlbertNerError).code, 'ERR_INVALID_CONFIG');
    t.is((error as AlbertNerError).details.option, option);
  }
});

test('a label outside the configured tags is refused with its file and line', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  const config = await tinyConfig('tags=[PER, LOC]');
  const error = await t.throwsAsync(trainOn(files, { config, output: join(folder, 'model') }));
  t.is((error as AlbertNerError).code, 'ERR_INVALID_DATA');
  t.is((error as AlbertNerError).details.file, files.trainData);
  t.is(typeof (error as AlbertNerError).details.line, 'number');
  await rm(files.trainData);
});
