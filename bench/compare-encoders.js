#!/usr/bin/env node
// What the shipped encoder gives to a tagger for other data: the same head on it frozen, on a random encoder of the same
// shape, and trained together with it, on corpora it has never seen.
//
//   node bench/compare-encoders.js --data FILE [--data FILE…] --work DIR [--encoder DIR] [--epochs N]
//
// --data     labelled corpora; every tenth sentence is dev
// --work     folder for the models
// --encoder  encoder folder; default the model that ships
// --epochs   passes over a corpus, the same for all; default 5

import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../dist/lib/config/load-config.js';
import { readEncoderFolder } from '../dist/lib/model/encoder-folder.js';
import { DEFAULT_MODEL } from '../dist/lib/model/load-model.js';
import { initEncoder } from '../dist/lib/training/init-encoder.js';
import { train } from '../dist/lib/training/trainer.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string', multiple: true, default: [] },
    work: { type: 'string' },
    encoder: { type: 'string', default: DEFAULT_MODEL },
    epochs: { type: 'string', default: '5' },
  },
});
if (values.data.length === 0 || values.work === undefined) {
  console.error('error: Expected --data and --work but received less');
  process.exit(2);
}
const work = resolve(values.work);
const random = join(work, 'random');
const { config, vocab } = await readEncoderFolder(values.encoder);
await initEncoder({ config, vocab, seed: 1, output: random });

const variants = [
  { name: 'random', encoder: random, finetune: 'none' },
  { name: 'frozen', encoder: values.encoder, finetune: 'none' },
  { name: 'fine-tuned', encoder: values.encoder, finetune: 'full' },
];
const rows = [];
for (const data of values.data.map((path) => resolve(path))) {
  const corpus = basename(dirname(data));
  const row = { corpus };
  for (const { name, encoder, finetune } of variants) {
    const settings = await loadConfig({
      set: [
        `train.corpora=[{name: ${corpus}, data: ${JSON.stringify(data)}, dev_every: 10}]`,
        ...['layer=mix', 'scheme=BIOES', 'dropout=0.3', 'batch_size=32', `train.epochs=${values.epochs}`],
        ...[`train.finetune=${finetune}`, 'train.learning_rate=0.002', 'train.learning_rates.crf=0.01'],
        'train.learning_rates.encoder=0.0008',
      ],
    });
    const output = join(work, `${corpus}-${name}`);
    const { reports } = await train({ config: settings.config, encoder, output });
    row[name] = (100 * reports[corpus].micro.f1).toFixed(2);
    console.log(`${corpus} ${name}: F1 ${row[name]}`);
  }
  rows.push(row);
}
console.table(rows);
mkdirSync(new URL('results/', import.meta.url), { recursive: true });
const results = { epochs: Number(values.epochs), rows };
writeFileSync(
  new URL('results/compare-encoders.json', import.meta.url),
  `${JSON.stringify(results, null, 2)}\n`,
);
