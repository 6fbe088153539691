#!/usr/bin/env node
// Makes the model that ships with the package, models/default, from plain text and labelled corpora: vocabulary,
// pretrained encoder, fine-tuned tagger. Every stage resumes where it was stopped; every seed is fixed.
//
//   node scripts/make-default-model.js --text DIR --data DIR --work DIR [--from ENCODER] [--out DIR]
//   node scripts/make-default-model.js --encoder ENCODER [--layers N] [--text DIR] --data DIR --work DIR [--out DIR]
//
// --text     file or folder of plain text (.txt, .gz, .xz): for pretraining, and n-grams are fitted to it
// --data     folder with the corpora that models/default.config.yml names
// --work     folder for everything in between; needs a few hundred megabytes
// --from     encoder folder to start pretraining from, such as an earlier milestone
// --encoder  encoder folder to start the tagger from, such as the model of an earlier version: nothing is pretrained
// --layers   take only so many of its layers, the lowest ones
// --out      where the model goes; default models/default

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { dump, load } from 'js-yaml';

const root = fileURLToPath(new URL('..', import.meta.url));
const SETTINGS = join(root, 'models', 'default.config.yml');
/** Characters seen less often are read as [UNK]. */
const MIN_COUNT = 8;
/** What of a model directory ships. */
const SHIPPED = ['model.json', 'model.safetensors', 'vocab.txt', 'config.json', 'README.md'];

const { values } = parseArgs({
  options: {
    text: { type: 'string' },
    data: { type: 'string' },
    work: { type: 'string' },
    from: { type: 'string' },
    encoder: { type: 'string' },
    layers: { type: 'string' },
    out: { type: 'string', default: join(root, 'models', 'default') },
  },
});
for (const option of [values.encoder ? 'encoder' : 'text', 'data', 'work']) {
  if (values[option] !== undefined) continue;
  console.error(`error: Expected a path for --${option} but received none`);
  process.exit(2);
}
const work = resolve(values.work);
if (values.encoder && resolve(values.encoder) === resolve(values.out)) {
  // The model would replace the encoder it came from, and a second run would start from another one.
  console.error(
    'error: Expected another folder for --out than --encoder but received the same; copy the encoder first',
  );
  process.exit(2);
}
const vocab = join(work, 'vocab.txt');
const encoder = values.encoder && !values.layers ? values.encoder : join(work, 'encoder');
const model = join(work, 'model');
const config = join(work, 'config.yml');
mkdirSync(work, { recursive: true });
writeFileSync(config, withCorporaIn(resolve(values.data)));

if (!values.encoder) pretrainEncoder();
else if (values.layers) takeLayers(Number(values.layers));
run('train', '--config', config, '--encoder', encoder, '--out', model, ...resumeIn(model));
rmSync(values.out, { recursive: true, force: true });
for (const name of SHIPPED) cpSync(join(model, name), join(values.out, name));
const card = readFileSync(join(root, 'models', 'default.card.md'), 'utf8');
writeFileSync(join(values.out, 'README.md'), `${readFileSync(join(model, 'README.md'), 'utf8')}\n${card}`);
console.log(`model: ${values.out}`);

function pretrainEncoder() {
  if (!existsSync(vocab)) {
    const counts = ['--min-count', String(MIN_COUNT)];
    if (values.from) cpSync(join(values.from, 'vocab.txt'), vocab);
    else run('vocab', '--text', values.text, '--out', vocab, ...counts);
  }
  run(
    'pretrain',
    ...['--config', config, '--text', values.text, '--vocab', vocab, '--encoder-config', 'compact'],
    ...['--out', encoder, ...resumeIn(encoder)],
    ...(values.from ? ['--from', values.from] : []),
  );
}

/** The encoder's folder with a config of fewer layers: the weights of the others lie idle in it. */
function takeLayers(count) {
  const description = JSON.parse(readFileSync(join(values.encoder, 'config.json'), 'utf8'));
  const { num_hidden_layers: layers, num_hidden_groups: groups } = description;
  if (!(count >= 1 && count <= layers) || groups !== layers) {
    console.error(
      `error: Expected for --layers 1 to ${layers} of an encoder with weights of its own for each`,
    );
    process.exit(2);
  }
  mkdirSync(encoder, { recursive: true });
  for (const name of ['vocab.txt', 'model.safetensors'])
    cpSync(join(values.encoder, name), join(encoder, name));
  const fewer = { ...description, num_hidden_layers: count, num_hidden_groups: count };
  writeFileSync(join(encoder, 'config.json'), `${JSON.stringify(fewer, null, 2)}\n`);
}

/** The settings with the paths of corpora and text made absolute. */
function withCorporaIn(folder) {
  const settings = load(readFileSync(SETTINGS, 'utf8'));
  for (const corpus of settings.train.corpora) {
    for (const part of ['data', 'dev']) if (corpus[part]) corpus[part] = join(folder, corpus[part]);
  }
  if (values.text) settings.ngrams.text = [resolve(values.text)];
  return dump(settings);
}

function resumeIn(output) {
  return existsSync(join(output, 'training', 'last.safetensors')) ? ['--resume'] : [];
}

function run(...args) {
  console.log(`$ albert-ner ${args.join(' ')}`);
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', 'albert-ner.js'), ...args], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}
