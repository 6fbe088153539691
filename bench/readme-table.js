#!/usr/bin/env node
// The READMEs' tables of what bench/results holds. Says whether they are up to date; with --write makes them so.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** What stands around the tables of times, and around that of scores. */
const TIMES = ['<!-- node bench/readme-table.js --write -->\n', '<!-- end of the tables -->\n'];
const SCORES = ['<!-- scores: node bench/readme-table.js --write -->\n', '<!-- end of the scores -->\n'];
const LABELS = ['PER', 'LOC', 'ORG', 'T'];
const MAIN_LABELS = 'PER LOC ORG';
/** Entities below which a score says nothing. */
const LEAST_SUPPORT = 10;

const LANGUAGES = {
  en: {
    file: 'README.md',
    caption: ({ machine, isa, date, rounds, versions }) =>
      `${date}, ${machine}, ${isa}, ${versions}. Medians of ${rounds} rounds in which all sides take turns, a peer in its fastest\n` +
      'variant. Ratio: how many times as long the peer takes. Share: floating point operations of the BiLSTM per second, as a part of\n' +
      'what an sgemm of libtorch reaches in the same rounds.',
    head: ['measured', 'ours', 'peer', 'time of the peer', 'ratio', 'share of sgemm'],
    scoresHead: ['dev part', ...LABELS, MAIN_LABELS, 'CRFsuite'],
  },
  zh: {
    file: 'README.zh-CN.md',
    caption: ({ machine, isa, date, rounds, versions }) =>
      `${date}，${machine}，${isa}，${versions}。各方轮流运行 ${rounds} 轮取中位数，每个对照取其最快的变体。倍数：对照用时是本项目的几倍。占比：BiLSTM 每秒浮点运算量与同一轮次中 libtorch sgemm 每秒运算量之比。`,
    head: ['测量内容', '本项目', '对照', '对照用时', '倍数', 'sgemm 占比'],
    scoresHead: ['开发集', ...LABELS, MAIN_LABELS, 'CRFsuite'],
  },
};

const rounded = (value) => String(Number(value.toPrecision(3)));
const milliseconds = (seconds) => `${rounded(1000 * seconds)} ms`;

/** Results with the same caption belong in one table. */
function groupsOf(results) {
  const groups = new Map();
  for (const result of results) {
    const { machine, date, rounds, buildInfo, versions } = result;
    const { python, torch } = versions;
    const key = JSON.stringify([machine, date, rounds, buildInfo.instructionSet, python, torch]);
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return [...groups.values()];
}

function rowsOf({ title, oursSeconds, peers, limit }, language) {
  return peers.map((peer, index) => [
    index === 0 ? title[language] : '',
    index === 0 ? milliseconds(oursSeconds) : '',
    peer.title[language],
    milliseconds(peer.seconds),
    `${rounded(peer.ratio)}×`,
    index === 0 && limit ? `${Math.round(100 * limit.share)} %` : '',
  ]);
}

function tableOf(results, language) {
  const { caption, head } = LANGUAGES[language];
  const [{ machine, date, rounds, buildInfo }] = results;
  const versions = Object.entries(Object.assign({}, ...results.map((result) => result.versions)))
    .map((pair) => pair.join(' '))
    .join(', ');
  const measures = results.flatMap((result) => result.measures);
  const notes = new Set(measures.flatMap(({ note }) => (note ? [note[language]] : [])));
  const rows = measures.flatMap((measure) => rowsOf(measure, language));
  return [
    caption({ machine, isa: buildInfo.instructionSet, date, rounds, versions }),
    ...notes,
    '',
    ...markdown(head, rows),
  ].join('\n');
}

function markdown(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

function readScores() {
  const file = new URL('results/compare-crfsuite.json', import.meta.url);
  const scores = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
  if (scores.length > 0 && scores.every(({ support }) => Number.isInteger(support))) return scores;
  throw new Error(
    'Expected scores with their support in results/compare-crfsuite.json: node bench/compare-crfsuite.js --config FILE',
  );
}

/** The shipped model's F1 on each dev part, of labels with enough entities, beside CRFsuite's. */
function scoresOf(scores, language) {
  const corpora = [...new Set(scores.map(({ corpus }) => corpus))];
  const rows = corpora.map((corpus) => {
    const score = (wanted) =>
      scores.find(
        ({ corpus: of, label, support }) => of === corpus && label === wanted && support >= LEAST_SUPPORT,
      );
    const f1 = (text) => (text === undefined ? '–' : Number(text).toFixed(1));
    const ours = [...LABELS, MAIN_LABELS].map((label) => f1(score(label)?.ours));
    return [corpus, ...ours, f1(score(MAIN_LABELS)?.crfsuite)];
  });
  return markdown(LANGUAGES[language].scoresHead, rows).join('\n');
}

function between([begin, end], text, content) {
  const [before, rest] = text.split(begin);
  const [, after] = rest?.split(end) ?? [];
  if (after === undefined) throw new Error(`Expected ${begin.trim()} and ${end.trim()} in the README`);
  return before + begin + content + end + after;
}

/** A README with the tables of these results between its marks. */
export function withTables(text, results, language) {
  const tables = groupsOf(results).map((group) => tableOf(group, language));
  return between(TIMES, text, `\n${tables.join('\n\n')}\n\n`);
}

/** A README with the table of these scores between its marks. */
export function withScores(text, scores, language) {
  return between(SCORES, text, `\n${scoresOf(scores, language)}\n\n`);
}

/** Results of all cases that were measured. */
function readResults() {
  return readdirSync(new URL('cases/', import.meta.url))
    .map((name) => new URL(`results/${name.replace(/\.js$/, '.json')}`, import.meta.url))
    .filter((file) => existsSync(file))
    .map((file) => JSON.parse(readFileSync(file, 'utf8')));
}

/** Without the spaces and dashes by which the formatter aligns columns. */
function unpadded(text) {
  return text.replace(/ +\|/g, ' |').replace(/-{3,}/g, '---');
}

function main() {
  const { values } = parseArgs({ options: { write: { type: 'boolean' } } });
  const results = readResults();
  const scores = readScores();
  for (const [language, { file: name }] of Object.entries(LANGUAGES)) {
    const file = new URL(`../${name}`, import.meta.url);
    const text = readFileSync(file, 'utf8');
    const wanted = withScores(withTables(text, results, language), scores, language);
    if (unpadded(wanted) === unpadded(text)) continue;
    if (values.write) {
      writeFileSync(file, wanted);
    } else {
      console.error(
        `error: ${name} doesn't show what bench/results holds: node bench/readme-table.js --write`,
      );
      process.exitCode = 1;
    }
  }
}

if (import.meta.filename === process.argv[1]) main();
