#!/usr/bin/env node
// The shipped model beside CRFsuite baselines that learned from the same labelled sentences, on every dev part.
//
//   node bench/compare-crfsuite.js --config FILE [--model DIR] [--without CORPUS ...]
//
// --config   settings whose train.corpora are the data, such as config.yml of make-default-model.js's --work folder
// --model    model directory; default the model that ships
// --without  name of a corpus to leave out of the comparison: text that models tagged isn't labelled data, and only ours
//            learned from it
//
// The baseline for PER, LOC and ORG learns from the corpora that annotate all three, that for T from those that annotate T:
// CRFsuite can't learn from a corpus like CLUENER whose places are left open, which ours does. Counts of baselines are kept
// in results/crfsuite under a hash of script, version and sentences, since one takes 40 minutes.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadConfig } from '../dist/lib/config/load-config.js';
import { evaluateSentences } from '../dist/lib/evaluation/evaluate.js';
import { DEFAULT_MODEL, loadModel } from '../dist/lib/model/load-model.js';
import { prepareRun } from '../dist/lib/training/prepare.js';

const SCRIPT = fileURLToPath(new URL('peers/crfsuite_ner.py', import.meta.url));
const REQUIREMENTS = new URL('peers/requirements.txt', import.meta.url);
const BASELINES = fileURLToPath(new URL('results/crfsuite/', import.meta.url));

const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    model: { type: 'string', default: DEFAULT_MODEL },
    without: { type: 'string', multiple: true, default: [] },
  },
});
const { config } = await loadConfig({ file: values.config });
const unknown = values.without.filter((name) => !config.train.corpora.some((corpus) => corpus.name === name));
if (unknown.length > 0) {
  console.error(`error: Expected for --without a corpus of the settings but received ${unknown.join(', ')}`);
  process.exit(2);
}
// A baseline reads every sentence equally often: how long a corpus takes part in our training is no matter.
config.train.corpora = config.train.corpora
  .filter(({ name }) => !values.without.includes(name))
  .map((corpus) => ({ ...corpus, epochs: null }));
const { corpora } = await prepareRun({ config, encoder: values.model });
const withDev = corpora.filter(({ dev }) => dev.length > 0);

const { description, session, tagger } = await loadModel(values.model);
const ours = new Map();
for (const { name, dev, labels } of withDev) {
  const { report } = await evaluateSentences(tagger, dev, { modelLabels: description.labels, labels });
  ours.set(name, report);
}
await session.dispose();

const baseline = new Map(withDev.map(({ name }) => [name, {}]));
for (const labels of [['PER', 'LOC', 'ORG'], ['T']]) {
  const able = corpora.filter((corpus) => labels.every((label) => corpus.labels.includes(label)));
  for (const [name, counts] of Object.entries(runBaseline(able, labels))) {
    Object.assign(baseline.get(name), counts);
  }
}

const f1 = ([correct, predicted, gold]) => (200 * correct) / Math.max(predicted + gold, 1);
const sum = (lists) => lists.reduce((a, b) => a.map((value, k) => value + b[k]), [0, 0, 0]);
const countsOf = ({ correct, predicted, support }) => [correct, predicted, support];
const rows = withDev.flatMap(({ name, labels }) => {
  const row = (label, mine, theirs) => ({
    corpus: name,
    label,
    support: mine[2],
    ours: f1(mine).toFixed(2),
    crfsuite: f1(theirs).toFixed(2),
    margin: (f1(mine) - f1(theirs)).toFixed(2),
  });
  const { types } = ours.get(name);
  const main = ['PER', 'LOC', 'ORG'];
  return [
    row(
      'PER LOC ORG',
      sum(main.map((label) => countsOf(types[label]))),
      sum(main.map((label) => baseline.get(name)[label])),
    ),
    ...labels.map((label) => row(label, countsOf(types[label]), baseline.get(name)[label])),
  ];
});
console.table(rows);
writeFileSync(
  new URL('results/compare-crfsuite.json', import.meta.url),
  `${JSON.stringify(rows, null, 2)}\n`,
);

/** Counts by corpus and label: those of an earlier run on the same sentences, or of a new one. */
function runBaseline(able, labels) {
  const files = new Map([['train.jsonl', able.flatMap(({ train }) => train.map(toLine)).join('')]]);
  for (const { name, dev } of able.filter(({ dev }) => dev.length > 0)) {
    files.set(`dev-${name}.jsonl`, dev.map(toLine).join(''));
  }
  const [version] = /^python-crfsuite==.*$/m.exec(readFileSync(REQUIREMENTS, 'utf8'));
  const hash = createHash('sha256').update(readFileSync(SCRIPT));
  for (const part of [version, ...labels, ...[...files].flat()]) hash.update(part).update('\0');
  const kept = join(BASELINES, `${hash.digest('hex').slice(0, 16)}.json`);
  if (!existsSync(kept)) {
    mkdirSync(BASELINES, { recursive: true });
    writeFileSync(kept, `${JSON.stringify(trainBaseline(files, labels), null, 2)}\n`);
  }
  return JSON.parse(readFileSync(kept, 'utf8'));
}

function trainBaseline(files, labels) {
  const folder = mkdtempSync(join(tmpdir(), 'albert-ner-crfsuite-'));
  try {
    for (const [name, content] of files) writeFileSync(join(folder, name), content);
    const python = process.env.PYTHON ?? 'python3';
    const { status, stdout } = spawnSync(python, [SCRIPT, folder, ...labels], {
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
      maxBuffer: 1 << 24,
    });
    if (status !== 0) throw new Error(`${SCRIPT} ended with ${status}`);
    return JSON.parse(stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A sentence with offsets in characters, as Python counts them. */
function toLine({ text, spans }) {
  const characters = (end) => [...text.slice(0, end)].length;
  const counted = spans.map(({ start, end, label }) => [characters(start), characters(end), label]);
  return `${JSON.stringify({ text, spans: counted })}\n`;
}
