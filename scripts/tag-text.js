#!/usr/bin/env node
// Tags sentences of plain text with several models and writes those they are sure of as a training corpus: an entity is
// taken when the models give it more than 0.45 on average; a sentence with another one above 0.3 is left out.
//
//   node scripts/tag-text.js --model DIR [--model DIR ...] [--text PATH[=N] ...] [--corpus FILE ...] [--seed N] --out FILE
//
// --model    model directory, each with one vote
// --text     plain text (.txt, .gz, .xz) or a folder of it; with =N no more than N of its sentences, drawn at random
// --corpus   labelled corpus, whose sentences are tagged anew; what it has for PER, LOC and ORG counts 0.15 more
//            White space is taken out of text, and sentences of more than 120 characters are left out.
// --seed     of the draw; default 1
// --out      the corpus: BIO, two columns; .gz compresses it

import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { readCorpus } from '../dist/lib/data/corpus.js';
import { writeConll } from '../dist/lib/data/read-conll.js';
import { writeFileAtomic } from '../dist/lib/files.js';
import { AlbertNer } from '../dist/lib/index.js';
import { listTextFiles, readDocuments } from '../dist/lib/pretraining/text-files.js';
import { createRandom } from '../dist/lib/random.js';
import { splitSentences } from '../dist/lib/text/sentences.js';
import { voteSpans } from '../dist/lib/training/vote.js';

const THRESHOLDS = { accept: 0.45, doubt: 0.3 };
const CORPUS_WEIGHT = 0.15;
const CORPUS_LABELS = ['PER', 'LOC', 'ORG'];
/** Sentences of text are joined up to this many characters; shorter and longer ones than these are left out. */
const JOINED_CHARACTERS = 60;
const LEAST_CHARACTERS = 8;
const MOST_CHARACTERS = 120;
/** Sentences between lines of progress. */
const CHUNK = 2000;

const { values } = parseArgs({
  options: {
    model: { type: 'string', multiple: true, default: [] },
    text: { type: 'string', multiple: true, default: [] },
    corpus: { type: 'string', multiple: true, default: [] },
    seed: { type: 'string', default: '1' },
    out: { type: 'string' },
  },
});
if (
  values.model.length === 0 ||
  values.out === undefined ||
  values.text.length + values.corpus.length === 0
) {
  console.error('error: Expected --model, --text or --corpus, and --out');
  process.exit(2);
}
if (!/^\d+$/.test(values.seed)) {
  console.error(`error: Expected a number for --seed but received ${values.seed}`);
  process.exit(2);
}
const random = createRandom(Number(values.seed));

let sentences = [];
for (const corpus of values.corpus) sentences = sentences.concat(await sentencesOfCorpus(corpus));
for (const text of values.text) sentences = sentences.concat(await sentencesOfText(text));
const models = [];
for (const directory of values.model) models.push(await AlbertNer.load(directory));
const kept = await tagAll(random.shuffle(sentences));
for (const model of models) await model.dispose();
const content = writeConll(kept);
await writeFileAtomic(values.out, values.out.endsWith('.gz') ? gzipSync(content) : content);
console.log(`${values.out}: ${kept.length} of ${sentences.length} sentences`);

async function sentencesOfCorpus(file) {
  const { sentences: labelled } = await readCorpus(file);
  return labelled
    .filter(({ text }) => text.length <= MOST_CHARACTERS)
    .map(({ text, spans }) => ({ text, known: spans.filter(({ label }) => CORPUS_LABELS.includes(label)) }));
}

async function sentencesOfText(argument) {
  const [, path, limit] = /^(.*?)(?:=(\d+))?$/.exec(argument);
  const found = new Set();
  for (const { path: file } of await listTextFiles([path])) {
    for await (const document of readDocuments(file)) {
      for (const paragraph of document.split('\n')) {
        for (const sentence of splitSentences(paragraph, JOINED_CHARACTERS)) {
          const text = sentence.replace(/\s+/g, '');
          if (
            text.length >= LEAST_CHARACTERS &&
            text.length <= MOST_CHARACTERS &&
            /\p{Script=Han}/u.test(text)
          )
            found.add(text);
        }
      }
    }
  }
  const drawn = random.shuffle([...found]).slice(0, limit === undefined ? undefined : Number(limit));
  return drawn.map((text) => ({ text, known: [] }));
}

async function tagAll(all) {
  const sure = [];
  for (let first = 0; first < all.length; first += CHUNK) {
    const chunk = all.slice(first, first + CHUNK);
    const texts = chunk.map(({ text }) => text);
    const predictions = [];
    for (const model of models) predictions.push(await model.predict(texts));
    for (const [index, { text, known }] of chunk.entries()) {
      const ballots = predictions.map((of) => ({ weight: 1 / models.length, spans: of[index].entities }));
      const spans = known.map((span) => ({ ...span, score: 1 }));
      const result = voteSpans([...ballots, { weight: CORPUS_WEIGHT, spans }], THRESHOLDS);
      if (result.sure) sure.push({ text, spans: result.spans });
    }
    console.error(`${first + chunk.length}/${all.length} sentences, ${sure.length} sure`);
  }
  return sure;
}
