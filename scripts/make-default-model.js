#!/usr/bin/env node
// Makes the model that ships with the package, models/default, from plain text and labelled corpora: vocabulary,
// pretrained encoder, the same adapted to the corpora's text, fine-tuned tagger. Every stage resumes where it was
// stopped; every seed is fixed.
//
//   node scripts/make-default-model.js --text DIR --data DIR --work DIR [--from ENCODER] [--teacher MODEL ...] [--out DIR]
//   node scripts/make-default-model.js --encoder ENCODER [--layers N] --text DIR --data DIR --work DIR [--teacher MODEL ...] [--out DIR]
//
// --text     folder of plain text: for pretraining, n-grams are fitted to it, and teachers tag those of its files that
//            SELF_TAGGED names; pretraining ends with some of its files and the corpora's sentences, see ADAPTATION
// --data     folder with the corpora that models/default.config.yml and MACHINE_TAGGED name
// --work     folder for everything in between; needs a few hundred megabytes
// --from     encoder folder to start pretraining from, such as an earlier milestone
// --encoder  encoder folder to start the tagger from, such as the model of an earlier version: nothing is pretrained
// --layers   take only so many of its layers, the lowest ones
// --teacher  model directories, such as earlier versions of the model: sentences of the text and of the machine-tagged
//            corpus, with the entities the teachers agree on, become the corpus "self_tagged" of the settings, which
//            without teachers is left out
// --out      where the model goes; default models/default

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { dump, load } from 'js-yaml';
import { loadConfig } from '../dist/lib/config/load-config.js';
import { readCorpus } from '../dist/lib/data/corpus.js';
import { writeFileAtomic } from '../dist/lib/files.js';
import { prepareRun } from '../dist/lib/training/prepare.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const SETTINGS = join(root, 'models', 'default.config.yml');
/** Characters seen less often are read as [UNK]. */
const MIN_COUNT = 8;
/** A corpus whose own tags aren't good enough to learn from; its text is. */
const MACHINE_TAGGED = 'corpuszh_silver/train.txt.xz';
/** What the teachers tag beside that corpus: at most so many sentences of these files of the text. */
const SELF_TAGGED = {
  'news.txt.xz': 40_000,
  'wiki_drcd_trad.txt.xz': 30_000,
  'weibo_ced.txt.xz': 20_000,
  'wiki_cmrc.txt.xz': 20_000,
  'news_xwlb.txt.xz': 15_000,
  'tech_lctt.txt.xz': 5_000,
};
/**
 * The last steps of pretraining, in which the learning rate falls to zero, read text like that the model is for: the
 * sentences of all corpora but their dev parts, and these files of the text (Gururangan et al. 2020, section 4).
 */
const ADAPTATION = {
  texts: ['weibo_ced.txt.xz', 'wiki_drcd_trad.txt.xz', 'wiki_cmrc.txt.xz'],
  steps: 17_000,
  warmupSteps: 100,
};
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
    teacher: { type: 'string', multiple: true, default: [] },
    out: { type: 'string', default: join(root, 'models', 'default') },
  },
});
for (const option of ['text', 'data', 'work']) {
  if (values[option] !== undefined) continue;
  console.error(`error: Expected a path for --${option} but received none`);
  process.exit(2);
}
const work = resolve(values.work);
for (const option of ['encoder', 'teacher']) {
  // The model would replace what it came from, and a second run would start from another one.
  if (![values[option] ?? []].flat().some((folder) => resolve(folder) === resolve(values.out))) continue;
  console.error(
    `error: Expected another folder for --out than for --${option} but received the same; copy it`,
  );
  process.exit(2);
}
const selfTagged = join(work, 'self-tagged.txt.gz');
const isTagged = existsSync(selfTagged);
const tags = values.teacher.length > 0 && !isTagged;
const needed = [
  ...(tags || !values.encoder ? [join(values.data, MACHINE_TAGGED)] : []),
  ...(tags ? Object.keys(SELF_TAGGED).map((name) => join(values.text, name)) : []),
];
const missing = needed.filter((file) => !existsSync(file));
if (missing.length > 0) {
  console.error(
    `error: Expected files to tag or to adapt the encoder to but there is no ${missing.join(', ')}`,
  );
  process.exit(2);
}
const vocab = join(work, 'vocab.txt');
const general = join(work, 'general-encoder');
const encoder = values.encoder && !values.layers ? values.encoder : join(work, 'encoder');
const model = join(work, 'model');
const config = join(work, 'config.yml');
mkdirSync(work, { recursive: true });
writeFileSync(config, withCorporaIn(resolve(values.data)));

if (tags) tagText();
if (!values.encoder) {
  pretrainEncoder();
  await adaptEncoder();
} else if (values.layers) takeLayers(Number(values.layers));
run('train', '--config', config, '--encoder', encoder, '--out', model, ...resumeIn(model));
rmSync(values.out, { recursive: true, force: true });
for (const name of SHIPPED) cpSync(join(model, name), join(values.out, name));
const card = readFileSync(join(root, 'models', 'default.card.md'), 'utf8');
writeFileSync(join(values.out, 'README.md'), `${readFileSync(join(model, 'README.md'), 'utf8')}\n${card}`);
console.log(`model: ${values.out}`);

function tagText() {
  const texts = Object.entries(SELF_TAGGED).flatMap(([name, most]) => [
    '--text',
    `${join(values.text, name)}=${most}`,
  ]);
  const teachers = values.teacher.flatMap((model) => ['--model', model]);
  const corpus = ['--corpus', join(values.data, MACHINE_TAGGED)];
  runScript('tag-text.js', ...teachers, ...texts, ...corpus, '--out', selfTagged);
}

function pretrainEncoder() {
  if (!values.from && !existsSync(vocab))
    run('vocab', '--text', values.text, '--out', vocab, '--min-count', String(MIN_COUNT));
  const start = values.from ? ['--from', values.from] : ['--vocab', vocab, '--encoder-config', 'compact'];
  pretrain(general, '--text', values.text, ...start);
}

async function adaptEncoder() {
  const corpusText = join(work, 'corpora.txt.gz');
  if (!existsSync(corpusText)) await writeFileAtomic(corpusText, gzipSync(await textOfCorpora()));
  const { texts, steps, warmupSteps } = ADAPTATION;
  const files = [corpusText, ...texts.map((name) => join(values.text, name)).filter(existsSync)];
  const settings = { steps, decay_steps: steps, warmup_steps: warmupSteps, embedding_passes: 0 };
  pretrain(
    encoder,
    ...['--from', general, '--text', ...files],
    ...Object.entries(settings).flatMap(([key, value]) => ['--set', `pretrain.${key}=${value}`]),
  );
}

function pretrain(out, ...options) {
  run('pretrain', '--config', config, '--set', 'storage=float16', '--out', out, ...options, ...resumeIn(out));
}

/** Every sentence of the corpora once, each a document, without those of their dev parts. */
async function textOfCorpora() {
  const { config: settings } = await loadConfig({ file: config });
  settings.train.corpora = settings.train.corpora.filter(({ name }) => name !== 'self_tagged');
  const { corpora } = await prepareRun({ config: settings, encoder: general });
  const { sentences: machineTagged } = await readCorpus(join(values.data, MACHINE_TAGGED));
  const texts = new Set(
    [...corpora.flatMap(({ train }) => train), ...machineTagged].map(({ text }) => text.trim()),
  );
  for (const { text } of corpora.flatMap(({ dev }) => dev)) texts.delete(text.trim());
  return [...texts].join('\n\n');
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
  if (values.teacher.length === 0 && !isTagged)
    settings.train.corpora = settings.train.corpora.filter(({ name }) => name !== 'self_tagged');
  for (const corpus of settings.train.corpora) {
    if (corpus.name === 'self_tagged') {
      corpus.data = selfTagged;
      continue;
    }
    for (const part of ['data', 'dev']) if (corpus[part]) corpus[part] = join(folder, corpus[part]);
  }
  settings.ngrams.text = [resolve(values.text)];
  return dump(settings);
}

function resumeIn(output) {
  return existsSync(join(output, 'training', 'last.safetensors')) ? ['--resume'] : [];
}

function run(...args) {
  console.log(`$ albert-ner ${args.join(' ')}`);
  runScript('albert-ner.js', ...args);
}

function runScript(name, ...args) {
  const { status } = spawnSync(process.execPath, [join(root, 'scripts', name), ...args], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}
