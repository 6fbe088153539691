import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { readSafetensorsHeader, readTensor } from '../../albert/convert/safetensors.js';
import { loadConfig } from '../../lib/config/load-config.js';
import { AlbertNerError } from '../../lib/errors.js';
import { readEncoderFolder } from '../../lib/model/encoder-folder.js';
import type { PretrainingEvent } from '../../lib/pretraining/events.js';
import { type PretrainOptions, pretrain, pretrainingFiles } from '../../lib/pretraining/pretrainer.js';
import { createRandom } from '../../lib/random.js';
import { temporaryFolder } from '../support/paths.js';
import { buildVocab, TINY_ENCODER } from '../support/tiny-model.js';

/** Documents of four-character idioms in random order: what is masked can be told from what stands beside it. */
async function writeText(folder: string): Promise<{ file: string; text: string }> {
  const random = createRandom(5);
  const idioms = '画蛇添足守株待兔井底之蛙亡羊补牢杯弓蛇影自相矛盾刻舟求剑狐假虎威'.match(
    /.{4}/g,
  ) as string[];
  const sentence = () => `${Array.from({ length: 5 }, () => idioms[random.int(idioms.length)]).join('')}。`;
  const documents = Array.from({ length: 600 }, () => [sentence(), sentence(), sentence()].join('\n'));
  const text = documents.join('\n\n');
  const file = join(folder, 'text.txt');
  await writeFile(file, text);
  return { file, text };
}

async function options(folder: string, ...set: string[]): Promise<PretrainOptions> {
  const { file, text } = await writeText(folder);
  const settings = ['batch_units=512', 'max_length=64', 'warmup_steps=10', 'decay_steps=10', 'eval_every=20'];
  const { config } = await loadConfig({
    set: [
      'threads=1',
      'device=cpu',
      ...settings.map((setting) => `pretrain.${setting}`),
      'pretrain.held_out_sequences=32',
      'pretrain.learning_rate=0.003',
      ...set,
    ],
  });
  const vocab = buildVocab([text]);
  const encoderConfig = { ...TINY_ENCODER, initializerRange: 0.1 };
  return { config, encoderConfig, vocab, text: [file], output: join(folder, 'encoder') };
}

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
  const { tensors } = await readSafetensorsHeader(file);
  return new Map(
    await Promise.all(tensors.map(async (info) => [info.name, await readTensor(file, info)] as const)),
  );
}

test('the held-out loss falls, and the best encoder is saved with its heads', async (t) => {
  const folder = await temporaryFolder(t);
  const events: PretrainingEvent[] = [];
  const run = await options(folder, 'pretrain.steps=400', 'pretrain.eval_every=100');
  const result = await pretrain({ ...run, onEvent: (event) => events.push(event) });
  const evaluations = events.filter((event) => event.type === 'evaluation');
  t.is(evaluations.length, 4);
  // By chance one in 32 would be right, by frequency hardly more.
  t.true(evaluations[3].maskedAccuracy > 0.25, JSON.stringify(evaluations[3]));
  t.true(evaluations[3].maskedLoss < evaluations[0].maskedLoss);
  t.true(evaluations[3].maskedAccuracy > evaluations[0].maskedAccuracy);
  t.is(result.steps, 400);
  t.deepEqual(events.at(-1), { type: 'stop', reason: 'finished' });
  const saved = await readEncoderFolder(run.output);
  t.is(saved.config.vocabSize, run.vocab.size);
  t.deepEqual(saved.warnings, []);
  t.true(
    (await readEncoderFolder(run.output)).pretrainingWeights?.tensors.some(
      ({ name }) => name === 'predictions.bias',
    ),
  );
});

test('attention that starts with the neighbours learns in far fewer steps', async (t) => {
  const accuracy: Record<string, number> = {};
  for (const start of ['neighbours', 'random']) {
    const events: PretrainingEvent[] = [];
    const folder = await temporaryFolder(t);
    const run = await options(folder, 'pretrain.steps=150', `pretrain.attention_start=${start}`);
    await pretrain({ ...run, onEvent: (event) => events.push(event) });
    accuracy[start] = events.findLast((event) => event.type === 'evaluation')?.maskedAccuracy ?? 0;
  }
  t.true(accuracy.neighbours > 2 * accuracy.random, JSON.stringify(accuracy));
});

for (const optimizer of ['adamw', 'lamb']) {
  test(`forty steps equal fifteen and a resume, bit for bit, with ${optimizer}`, async (t) => {
    const folder = await temporaryFolder(t);
    const run = await options(folder, 'pretrain.steps=40', `pretrain.optimizer=${optimizer}`);
    const tokens = join(folder, 'tokens');
    const whole = join(folder, 'whole');
    const parts = join(folder, 'parts');
    await pretrain({ ...run, tokens, output: whole });
    await pretrain({ ...run, tokens, output: parts, stopAfter: 15 });
    const { steps } = await pretrain({ ...run, tokens, output: parts, resume: true });
    t.is(steps, 40);
    t.deepEqual(await tensorsOf(pretrainingFiles(parts).last), await tensorsOf(pretrainingFiles(whole).last));
  });
}

test('a step takes as many batches as are to be accumulated', async (t) => {
  const folder = await temporaryFolder(t);
  const run = await options(folder, 'pretrain.steps=2', 'pretrain.accumulate=3');
  const { units } = await pretrain(run);
  t.true(units > 2 * 3 * 400 && units <= 2 * 3 * 512, `${units}`);
});

test('an aborted run saves its state and goes on from there', async (t) => {
  const folder = await temporaryFolder(t);
  const run = await options(folder, 'pretrain.steps=20');
  const controller = new AbortController();
  const error = await t.throwsAsync(
    pretrain({
      ...run,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'step' && event.step === 7) controller.abort();
      },
    }),
    { instanceOf: AlbertNerError },
  );
  t.is((error as AlbertNerError).code, 'ERR_ABORTED');
  const events: PretrainingEvent[] = [];
  await pretrain({ ...run, resume: true, onEvent: (event) => events.push(event) });
  t.deepEqual(
    events.find((event) => event.type === 'resume'),
    { type: 'resume', step: 7 },
  );
});

test('a run can start from another encoder and its heads', async (t) => {
  const folder = await temporaryFolder(t);
  const run = await options(folder, 'pretrain.steps=60', 'pretrain.eval_every=60');
  const first = await pretrain(run);
  const again = await options(folder, 'pretrain.steps=1', 'pretrain.learning_rate=0');
  const second = await pretrain({ ...again, from: run.output, output: join(folder, 'second') });
  t.is(second.best?.maskedLoss, first.best?.maskedLoss);
});

test('a resume may score, save and report at other intervals', async (t) => {
  const folder = await temporaryFolder(t);
  const run = await options(folder, 'pretrain.steps=4');
  await pretrain({ ...run, stopAfter: 2 });
  const intervals = ['eval_every=1', 'save_every=2', 'report_every=1'].map((set) => `pretrain.${set}`);
  const other = await options(folder, 'pretrain.steps=5', ...intervals);
  const { steps } = await pretrain({ ...other, resume: true });
  t.is(steps, 5);
});

test('a resume with other settings or other text is refused by name', async (t) => {
  const folder = await temporaryFolder(t);
  const run = await options(folder, 'pretrain.steps=2');
  await pretrain(run);
  const other = await options(folder, 'pretrain.steps=2', 'pretrain.weight_decay=0.5');
  const error = await t.throwsAsync(pretrain({ ...other, resume: true }), { instanceOf: AlbertNerError });
  t.is((error as AlbertNerError).code, 'ERR_INVALID_CONFIG');
  t.is((error as AlbertNerError).details.option, 'pretrain');
});
