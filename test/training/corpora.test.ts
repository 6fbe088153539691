import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { readSafetensorsHeader, readTensor } from '../../albert/convert/safetensors.js';
import { loadConfig } from '../../lib/config/load-config.js';
import type { Config } from '../../lib/config/schema.js';
import { writeConll } from '../../lib/data/read-conll.js';
import { generateSampleCorpus } from '../../lib/data/sample-corpus.js';
import { AlbertNerError } from '../../lib/errors.js';
import { AlbertNer } from '../../lib/model/ner.js';
import type { TrainingEvent } from '../../lib/training/events.js';
import { train, trainingFiles } from '../../lib/training/trainer.js';
import { temporaryFolder } from '../support/paths.js';
import { writeTinyFiles } from '../support/tiny-model.js';

/** Two corpora: one without T, whose people are called person, and one with everything. */
async function writeCorpora(folder: string): Promise<{ encoder: string; corpora: string }> {
  const { encoder } = await writeTinyFiles(folder);
  const parts = [
    ['partial', generateSampleCorpus({ seed: 21, sentences: 300, part: 'train' })],
    ['whole', generateSampleCorpus({ seed: 22, sentences: 120, part: 'train' })],
    ['dev', generateSampleCorpus({ seed: 23, sentences: 60, part: 'dev' })],
  ] as const;
  for (const [name, sentences] of parts) {
    const labelled =
      name === 'partial'
        ? sentences.map(({ text, spans }) => ({
            text,
            spans: spans
              .filter(({ label }) => label !== 'T')
              .map((span) => (span.label === 'PER' ? { ...span, label: 'person' } : span)),
          }))
        : sentences;
    await writeFile(join(folder, `${name}.txt`), writeConll(labelled));
  }
  const partial = `{data: ${folder}/partial.txt, dev_every: 10, labels: {person: PER}, unannotated: [T]}`;
  const whole = `{data: ${folder}/whole.txt, dev: ${folder}/dev.txt, repeat: 2}`;
  return { encoder, corpora: `train.corpora=[${partial}, ${whole}]` };
}

async function configOf(...set: string[]): Promise<Config> {
  const common = [
    'max_length=64',
    'hidden_size=32',
    'batch_size=8',
    'threads=1',
    'device=cpu',
    'dropout=0.1',
  ];
  const { config } = await loadConfig({ set: [...common, 'train.learning_rate=0.03', ...set] });
  return config;
}

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
  const { tensors } = await readSafetensorsHeader(file);
  return new Map(
    await Promise.all(tensors.map(async (info) => [info.name, await readTensor(file, info)] as const)),
  );
}

test('corpora with different labels train one model that knows them all', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder);
  const events: TrainingEvent[] = [];
  const { reports, directory } = await train({
    config: await configOf(corpora, 'train.epochs=24'),
    encoder,
    output: join(folder, 'model'),
    onEvent: (event) => events.push(event),
  });
  t.deepEqual(Object.keys(reports), ['partial', 'whole']);
  t.deepEqual(Object.keys(reports.partial.types), ['LOC', 'ORG', 'PER']);
  t.deepEqual(Object.keys(reports.whole.types), ['LOC', 'ORG', 'PER', 'T']);
  const data = events.find((event) => event.type === 'data');
  // Sample sentences repeat: those that stand in the other corpus's dev part don't train.
  const overlap = data?.overlap ?? 0;
  t.deepEqual(data?.corpora, [
    { name: 'partial', train: 270, dev: 30 },
    { name: 'whole', train: 120 - overlap, dev: 60 },
  ]);
  t.is(data?.sequences, 270 + 2 * (120 - overlap));
  t.true(reports.partial.micro.f1 > 0.5, `${reports.partial.micro.f1}`);
  const ner = await AlbertNer.load(directory, { device: 'cpu' });
  t.deepEqual(ner.description.labels, ['LOC', 'ORG', 'PER', 'T']);
  await ner.dispose();
});

test('what a corpus does not annotate is not learnt as O', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder);
  // 32 spans are few: one run says more about its seed than about the loss.
  const seeds = [1, 2, 3];
  const recall = async (list: string, name: string) => {
    let sum = 0;
    for (const seed of seeds) {
      const config = await configOf(list, 'train.epochs=24', `seed=${seed}`);
      const { reports } = await train({ config, encoder, output: join(folder, `${name}-${seed}`) });
      sum += reports.whole.types.T.recall;
    }
    return sum / seeds.length;
  };
  const marginalised = await recall(corpora, 'with');
  const taken = await recall(corpora.replace(', unannotated: [T]', ''), 'without');
  t.true(marginalised > taken + 0.2, `${marginalised} against ${taken}`);
});

test('a training sentence that stands in the dev part of another corpus is left out', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder } = await writeCorpora(folder);
  const corpora = `train.corpora=[{data: ${folder}/dev.txt}, {data: ${folder}/whole.txt, dev: ${folder}/dev.txt}]`;
  const events: TrainingEvent[] = [];
  const error = await t.throwsAsync(
    train({
      config: await configOf(`train.corpora=[{data: ${folder}/dev.txt}]`, 'tags=[PER]'),
      encoder,
      output: join(folder, 'model'),
    }),
  );
  t.is((error as AlbertNerError).code, 'ERR_INVALID_DATA');
  await train({
    config: await configOf(corpora, 'train.epochs=1'),
    encoder,
    output: join(folder, 'model'),
    onEvent: (event) => events.push(event),
  });
  const data = events.find((event) => event.type === 'data');
  t.is(data?.overlap, 60);
});

test('an unannotated label the model does not have is refused', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder);
  const error = await t.throwsAsync(
    train({
      config: await configOf(corpora.replace('[T]', '[TIME]')),
      encoder,
      output: join(folder, 'model'),
    }),
    { instanceOf: AlbertNerError },
  );
  t.is((error as AlbertNerError).code, 'ERR_INVALID_CONFIG');
  t.regex(error.message, /partial.*TIME/);
});

for (const [mode, set] of [
  ['full', ['train.finetune=full', 'layer=mix', 'train.word_dropout=0.05']],
  ['top-1', ['train.finetune=top-1', 'layer=-1']],
] as const) {
  test(`fine-tuning ${mode} changes the encoder, resumes bit for bit and loads`, async (t) => {
    const folder = await temporaryFolder(t);
    const { encoder, corpora } = await writeCorpora(folder);
    const config = await configOf(corpora, 'train.epochs=2', ...set);
    const whole = await train({ config, encoder, output: join(folder, 'whole') });
    const output = join(folder, 'parts');
    await train({ config, encoder, output, stopAfterEpochs: 1 });
    const parts = await train({ config, encoder, output, resume: true });
    t.deepEqual(parts.reports, whole.reports);
    const last = await tensorsOf(trainingFiles(output).last);
    t.deepEqual(last, await tensorsOf(trainingFiles(whole.directory).last));

    const before = await tensorsOf(join(encoder, 'model.safetensors'));
    const after = await tensorsOf(join(output, 'model.safetensors'));
    const changed = (name: string) => {
      const [a, b] = [before.get(name), after.get(`albert.${name}`)];
      return a?.some((value, index) => value !== b?.[index]);
    };
    t.true(changed('encoder.albert_layer_groups.0.albert_layers.0.ffn.weight'));
    t.is(changed('embeddings.word_embeddings.weight'), mode === 'full');
    t.is(after.has('mix.weights'), mode === 'full');

    const ner = await AlbertNer.load(output, { device: 'cpu' });
    t.is(ner.description.head.layer, mode === 'full' ? 'mix' : -1);
    await ner.predict('王小明在北京工作。');
    await ner.dispose();
  });
}

test('word dropout on a frozen encoder is refused', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder);
  const config = await configOf(corpora, 'train.word_dropout=0.1');
  const error = await t.throwsAsync(train({ config, encoder, output: join(folder, 'model') }));
  t.is((error as AlbertNerError).code, 'ERR_INVALID_CONFIG');
});
