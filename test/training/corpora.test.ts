import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { readSafetensorsHeader, readTensor } from '../../albert/convert/safetensors.js';
import { loadConfig } from '../../lib/config/load-config.js';
import type { Config } from '../../lib/config/schema.js';
import { writeConll } from '../../lib/data/read-conll.js';
import { generateSampleCorpus } from '../../lib/data/sample-corpus.js';
import { AlbertNerError } from '../../lib/errors.js';
import { formatReport } from '../../lib/evaluation/report.js';
import { readModelDirectory } from '../../lib/model/model-directory.js';
import { AlbertNer } from '../../lib/model/ner.js';
import type { TrainingEvent } from '../../lib/training/events.js';
import { train, trainingFiles } from '../../lib/training/trainer.js';
import { temporaryFolder } from '../support/paths.js';
import { trainOn, writeTinyFiles } from '../support/tiny-model.js';

/** Sentences of the two corpora: a few where any will do. */
const FEW = { partial: 300, whole: 120 };
/** As many as it takes for scores that say something: with few, those of the seeds 1 to 3 lie between 0.40 and 0.54. */
const MANY = { partial: 1500, whole: 300 };

/** Two corpora: one without T, whose people are called person, and one with everything. */
async function writeCorpora(folder: string, counts = FEW): Promise<{ encoder: string; corpora: string }> {
  const { encoder } = await writeTinyFiles(folder);
  const parts = [
    ['partial', generateSampleCorpus({ seed: 21, sentences: counts.partial, part: 'train' })],
    ['whole', generateSampleCorpus({ seed: 22, sentences: counts.whole, part: 'train' })],
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
  const { encoder, corpora } = await writeCorpora(folder, MANY);
  const events: TrainingEvent[] = [];
  const { reports, directory } = await train({
    config: await configOf(corpora, 'train.epochs=8'),
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
    { name: 'partial', train: 0.9 * MANY.partial, dev: 0.1 * MANY.partial },
    { name: 'whole', train: MANY.whole - overlap, dev: 60 },
  ]);
  t.is(data?.sequences, 0.9 * MANY.partial + 2 * (MANY.whole - overlap));
  t.true(reports.partial.micro.f1 > 0.5, `${reports.partial.micro.f1}`);
  const ner = await AlbertNer.load(directory, { device: 'cpu' });
  t.deepEqual(ner.description.labels, ['LOC', 'ORG', 'PER', 'T']);
  await ner.dispose();
});

test('what a corpus does not annotate is not learnt as O', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder, MANY);
  // 32 spans are few: one run says more about its seed than about the loss.
  const seeds = [1, 2, 3];
  const recall = async (list: string, name: string) => {
    let sum = 0;
    for (const seed of seeds) {
      const config = await configOf(list, 'train.epochs=8', `seed=${seed}`);
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

test('a sentence that stands in an earlier corpus, too, trains once', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder } = await writeCorpora(folder);
  const events: TrainingEvent[] = [];
  const corpora = `train.corpora=[{data: ${folder}/dev.txt}, {data: ${folder}/dev.txt, repeat: 3}, {data: ${folder}/whole.txt}]`;
  await train({
    config: await configOf(corpora, 'train.epochs=1'),
    encoder,
    output: join(folder, 'model'),
    onEvent: (event) => events.push(event),
  });
  const data = events.find((event) => event.type === 'data');
  t.is(data?.corpora[0].train, 60);
  t.is(data?.corpora[1].train, 0);
  t.is(data?.sequences, 60 + (data?.corpora[2].train ?? 0));
});

test('a corpus that ends early or annotates less takes no sentence from one that teaches more', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder } = await writeCorpora(folder);
  for (const [first, second, kept] of [
    ['epochs: 1', '', 60],
    ['unannotated: [T]', '', 60],
    ['', 'epochs: 1', 0],
    ['unannotated: [T]', 'unannotated: [T]', 0],
  ] as const) {
    const events: TrainingEvent[] = [];
    const entry = (extra: string) => `{data: ${folder}/dev.txt${extra === '' ? '' : `, ${extra}`}}`;
    await train({
      config: await configOf(
        `train.corpora=[${entry(first)}, ${entry(second)}]`,
        'train.epochs=2',
        'tags=[LOC, ORG, PER, T]',
      ),
      encoder,
      output: join(folder, 'model'),
      onEvent: (event) => events.push(event),
    });
    const data = events.find((event) => event.type === 'data');
    t.is(data?.corpora[1].train, kept, `${first} | ${second}`);
  }
});

test('epochs without any corpus are refused', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder } = await writeCorpora(folder);
  const config = await configOf(`train.corpora=[{data: ${folder}/whole.txt, epochs: 1}]`, 'train.epochs=2');
  const error = await t.throwsAsync(train({ config, encoder, output: join(folder, 'model') }), {
    instanceOf: AlbertNerError,
  });
  t.is((error as AlbertNerError).code, 'ERR_INVALID_CONFIG');
  t.regex(error.message, /none beyond epoch 1/);
});

test('a run resumed in another precision is refused', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder);
  const output = join(folder, 'model');
  const config = (precision: string) =>
    configOf(corpora, 'train.finetune=full', 'train.epochs=2', `train.precision=${precision}`);
  await train({ config: await config('auto'), encoder, output, stopAfterEpochs: 1 });
  const error = await t.throwsAsync(
    train({ config: await config('bfloat16'), encoder, output, resume: true }),
  );
  t.is((error as AlbertNerError).code, 'ERR_INVALID_CONFIG');
  t.regex(error.message, /precision.*float32.*bfloat16/);
  // On a CPU auto is float32.
  await train({ config: await config('float32'), encoder, output, resume: true });
});

test('a corpus takes part in its epochs only, and the learning rate knows', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder } = await writeCorpora(folder);
  const corpora = `train.corpora=[{data: ${folder}/whole.txt}, {data: ${folder}/partial.txt, labels: {person: PER}, epochs: 1}]`;
  const config = await configOf(corpora, 'train.epochs=3');
  const stepsOf = async (output: string, parts: { stopAfterEpochs?: number; resume?: boolean }[]) => {
    const steps: number[] = [];
    for (const part of parts) {
      await train({
        config,
        encoder,
        output: join(folder, output),
        ...part,
        onEvent: (event) => {
          if (event.type === 'step' && event.step === event.steps) steps.push(event.steps);
        },
      });
    }
    return steps;
  };
  const steps = await stepsOf('whole', [{}]);
  t.is(steps.length, 3);
  t.is(steps[1], steps[2]);
  t.true(steps[0] > 2 * steps[1], steps.join());
  t.deepEqual(await stepsOf('parts', [{ stopAfterEpochs: 1 }, { resume: true }]), steps);
  const last = (output: string) => tensorsOf(trainingFiles(join(folder, output)).last);
  t.deepEqual(await last('parts'), await last('whole'));
});

test('a corpus of no epoch only says which n-grams there are, and one whose n-grams are not counted only trains', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder } = await writeCorpora(folder);
  const run = async (name: string, more: string) => {
    const corpora = `train.corpora=[{data: ${folder}/whole.txt}${more}]`;
    const config = await configOf(corpora, 'ngrams.size=5000', 'ngrams.width=4', 'train.epochs=1');
    const { directory, steps } = await train({ config, encoder, output: join(folder, name) });
    const { ngramKeys } = await readModelDirectory(directory);
    return { steps, keys: [...ngramKeys] };
  };
  const partial = `data: ${folder}/partial.txt, labels: {person: PER}`;
  const alone = await run('alone', '');
  const counted = await run('counted', `, {${partial}, epochs: 0}`);
  t.is(counted.steps, alone.steps);
  t.true(counted.keys.length > alone.keys.length, `${counted.keys.length} and ${alone.keys.length}`);
  const trains = await run('trains', `, {${partial}, ngrams: false}`);
  t.true(trains.steps > alone.steps, `${trains.steps} and ${alone.steps}`);
  t.deepEqual(trains.keys, alone.keys);
  const error = await t.throwsAsync(configOf(`train.corpora=[{${partial}, epochs: 0, ngrams: false}]`));
  t.is((error as AlbertNerError).code, 'ERR_INVALID_CONFIG');
  t.regex((error as AlbertNerError).message, /train\.corpora\[?\.?0\]?\.ngrams/);
});

test('n-grams and int8 storage survive saving: the model scores what its reports say, and a resumed run is the same', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder);
  const set = ['ngrams.size=300', 'ngrams.width=4', 'ngrams.min_count=2', 'train.epochs=2'];
  const config = await configOf(corpora, ...set);
  const whole = await train({ config, encoder, output: join(folder, 'whole') });
  const output = join(folder, 'parts');
  await train({ config, encoder, output, stopAfterEpochs: 1 });
  const parts = await train({ config, encoder, output, resume: true });
  t.deepEqual(parts.reports, whole.reports);
  const [ours, theirs] = await Promise.all(
    [output, whole.directory].map((d) => tensorsOf(trainingFiles(d).last)),
  );
  t.deepEqual(ours, theirs);
  t.deepEqual(ours.get('head.ngrams.weight')?.length, 301 * 4);

  const compact = await train({
    config: await configOf(corpora, ...set, 'storage=int8'),
    encoder,
    output: join(folder, 'int8'),
  });
  const bytes = async (directory: string) => (await stat(join(directory, 'model.safetensors'))).size;
  t.true((await bytes(compact.directory)) < 0.5 * (await bytes(whole.directory)));
  const ner = await AlbertNer.load(compact.directory, { device: 'cpu' });
  t.is(ner.description.head.ngramWidth, 4);
  t.deepEqual(ner.description.scores, JSON.parse(JSON.stringify(compact.reports)));
  const card = await readFile(join(compact.directory, 'README.md'), 'utf8');
  for (const report of Object.values(compact.reports)) t.true(card.includes(formatReport(report)));
  await ner.predict('王小明在北京工作。');
  await ner.dispose();
});

test('n-grams start from what a text says of them, which a resumed run need not have', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder);
  const text = join(folder, 'text.txt');
  await writeFile(text, '王小明在北京工作。\n张小红在上海工作。\n'.repeat(50));
  const set = ['ngrams.size=300', 'ngrams.width=4', 'ngrams.min_count=2', 'train.epochs=2'];
  const plain = await train({
    config: await configOf(corpora, ...set),
    encoder,
    output: join(folder, 'plain'),
  });
  const withText = [...set, `ngrams.text=["${text}"]`];
  const config = await configOf(corpora, ...withText);
  const events: TrainingEvent[] = [];
  const whole = await train({
    config,
    encoder,
    output: join(folder, 'whole'),
    onEvent: (event) => events.push(event),
  });
  t.deepEqual(
    events.filter((event) => event.type === 'progress' && event.task === 'n-grams'),
    [
      { type: 'progress', task: 'n-grams', done: 1, total: 2 },
      { type: 'progress', task: 'n-grams', done: 2, total: 2 },
    ],
  );
  const output = join(folder, 'parts');
  await train({ config, encoder, output, stopAfterEpochs: 1 });
  await rm(text);
  await train({ config, encoder, output, resume: true });
  const [ours, theirs, without] = await Promise.all(
    [output, whole.directory, plain.directory].map((d) => tensorsOf(trainingFiles(d).last)),
  );
  t.deepEqual(ours, theirs);
  t.notDeepEqual(ours.get('head.ngrams.weight'), without.get('head.ngrams.weight'));
  const missing = await t.throwsAsync(train({ config, encoder, output: join(folder, 'none') }));
  t.true(missing?.message.includes(text));
});

test('an encoder learns in bfloat16 about what it learns in float32', async (t) => {
  const folder = await temporaryFolder(t);
  const { encoder, corpora } = await writeCorpora(folder);
  const losses: Record<string, number[]> = {};
  for (const precision of ['float32', 'bfloat16']) {
    losses[precision] = [];
    const set = ['train.finetune=full', 'train.epochs=2', `train.precision=${precision}`];
    await train({
      config: await configOf(corpora, ...set),
      encoder,
      output: join(folder, precision),
      onEvent: (event) => {
        if (event.type === 'epoch') losses[precision].push(event.loss);
      },
    });
  }
  const { float32, bfloat16 } = losses;
  t.true(bfloat16[1] < bfloat16[0]);
  t.notDeepEqual(bfloat16, float32);
  for (const [epoch, loss] of float32.entries()) {
    t.true(Math.abs(bfloat16[epoch] / loss - 1) < 0.15, `${bfloat16} against ${float32}`);
  }
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

test('a run without any entity to learn from names its corpora', async (t) => {
  const folder = await temporaryFolder(t);
  const files = await writeTinyFiles(folder);
  await writeFile(files.trainData, '王\tO\n明\tO\n');
  const error = await t.throwsAsync(trainOn(files, { output: join(folder, 'model'), devData: null }), {
    instanceOf: AlbertNerError,
  });
  t.is(error?.code, 'ERR_INVALID_DATA');
  t.true(error?.message.includes(files.trainData), error?.message);
});
