import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { loadConfig } from '../../lib/config/load-config.js';
import { readEncoderFolder } from '../../lib/model/encoder-folder.js';
import { DEFAULT_MODEL, openSession } from '../../lib/model/load-model.js';
import { nativeEncoderConfig } from '../../lib/model/native-config.js';
import { AlbertNer } from '../../lib/model/ner.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { train } from '../../lib/training/trainer.js';
import { runNode } from '../support/child.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';
import { writeTinyFiles } from '../support/tiny-model.js';
import { deviation } from '../support/vectors.js';

const MAX_BYTES = 12_000_000;

test('the shipped model is whole and at most 12 MB', async (t) => {
  const names = await readdir(DEFAULT_MODEL);
  t.deepEqual(names.sort(), ['README.md', 'config.json', 'model.json', 'model.safetensors', 'vocab.txt']);
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(DEFAULT_MODEL, name))).size));
  t.true(sizes.reduce((sum, size) => sum + size, 0) <= MAX_BYTES);
});

test('without a directory the shipped model is loaded and finds people, places, organisations and times', async (t) => {
  const ner = await AlbertNer.load();
  t.deepEqual([...ner.labels].sort(), ['LOC', 'ORG', 'PER', 'T']);
  const text = '新华社北京5月12日电，国家主席江泽民今天在人民大会堂会见了美国总统克林顿。';
  const { entities } = await ner.predict(text);
  await ner.dispose();
  const found = entities.map(({ label, text: name }) => `${label} ${name}`);
  for (const entity of ['ORG 新华社', 'LOC 北京', 'PER 江泽民', 'PER 克林顿']) {
    t.true(found.includes(entity), `${entity} in ${found.join(', ')}`);
  }
});

test('its card tells data, licences, scores and limits', async (t) => {
  const card = await readFile(join(DEFAULT_MODEL, 'README.md'), 'utf8');
  for (const heading of ['## Scores', '## How it was made', '## Data and licences', '## Limits and bias']) {
    t.true(card.includes(heading), heading);
  }
});

test('it is an encoder folder, too, and a tagger can be trained on it', async (t) => {
  const { warnings } = await readEncoderFolder(DEFAULT_MODEL);
  t.deepEqual(warnings, []);
  const folder = await temporaryFolder(t);
  const { trainData, devData, encoder: random } = await writeTinyFiles(folder);
  const settings = [
    // It was fine-tuned under a mix of its layers.
    'layer=mix',
    'max_length=64',
    'batch_size=8',
    'dropout=0.1',
    'train.epochs=15',
    'train.learning_rate=0.01',
  ];
  const { config } = await loadConfig({
    set: [...settings, 'device=cpu', `train.data=${trainData}`, `train.dev=${devData}`],
  });
  const f1 = async (encoder: string, output: string) => {
    const { reports } = await train({ config, encoder, output: join(folder, output) });
    return Object.values(reports)[0].micro.f1;
  };
  const ours = await f1(DEFAULT_MODEL, 'ours');
  t.true(ours > 0.7, `${ours}`);
  t.true(ours > (await f1(random, 'random')) + 0.2);
});

test('every layer of its encoder tells characters apart', async (t) => {
  const { config, vocab, weights } = await readEncoderFolder(DEFAULT_MODEL);
  const session = openSession({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  await session.loadEncoder(nativeEncoderConfig(config, vocab, 'mix'), weights);
  const { ids } = new Tokenizer(vocab).tokenize('记者昨天从北京大学了解到，今年的新生比去年多。');
  const states = await session.encode({ ids: Int32Array.from(ids), offsets: Int32Array.of(0, ids.length) });
  const D = config.hiddenSize;
  const layers = config.layerCount + 1;
  for (let layer = 0; layer < layers; layer += 1) {
    const spreads = Array.from({ length: D }, (_, k) =>
      deviation(Array.from({ length: ids.length }, (_, unit) => states[(unit * layers + layer) * D + k])),
    );
    const mean = spreads.reduce((sum, spread) => sum + spread, 0) / D;
    t.true(mean > 0.2, `layer ${layer}: ${mean.toFixed(3)}`);
  }
});

test('the command line predicts with it when no model is given', async (t) => {
  const script = join(repoRoot, 'scripts', 'albert-ner.js');
  const { code, stdout } = await runNode(script, ['predict', '--text', '记者从北京大学了解到', '--json'], {
    cwd: repoRoot,
  });
  t.is(code, 0);
  t.regex(stdout, /"label":"(ORG|LOC)"/);
});
