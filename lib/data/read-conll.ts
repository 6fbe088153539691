/** Two or more columns, token first and tag last, a blank line between sentences; and the writer of that form. */

import { AlbertNerError } from '../errors.js';
import { trimInvisible, visibleRange, withEscapes } from '../text/visible.js';
import type { LabelledSentence, SourceLines, TaggedSentence } from './sentences.js';

const DOCUMENT_START = '-DOCSTART-';

/** A character and its place in a word, 技1. Emoji that got lost on the way to Weibo NER stand as two U+FFFD. */
const NUMBERED = /^(.|\ufffd\ufffd)\d+$/su;

const IDEOGRAPH = /\p{Script=Han}/u;

/** Characters that end lines elsewhere. A file that has them between its rows would be a single row. */
const OTHER_LINE_ENDS = /[\v\f\u0085\u2028\u2029]/;

/** A line in columns. */
interface Row {
  columns: string[];
  line: number;
  text: string;
}

/**
 * Columns are parted by tabs where a line has one, else by spaces; a token that is itself white space is kept. "-DOCSTART-" ends a
 * sentence. In a file whose every token is a character and a number, as in Weibo NER (科0 技1), the number is its place in the word
 * and no part of the text; a first column that only numbers the rows or the sentences is none either.
 *
 * Throws ERR_INVALID_DATA, file and line: a line without token or tag, or with more or fewer columns than the first one, line ends
 * other than LF, whole sentences for tokens.
 */
export function readConll({ file, lines }: SourceLines): TaggedSentence[] {
  const sentences = splitRows(lines);
  completeColumns(sentences, file);
  const column = isNumbered(sentences) ? 1 : 0;
  const empty = sentences.flat().find(({ columns }) => columns[column] === '');
  if (empty !== undefined) throw noToken(file, empty.line, empty.text);
  const tagged = sentences.map((rows) => ({
    tokens: rows.map(({ columns }) => columns[column]),
    tags: rows.map(({ columns }) => trimInvisible(columns.at(-1) as string)),
    file,
    lines: rows.map(({ line }) => line),
  }));
  checkTokens(tagged, file);
  return withoutPlaces(tagged);
}

function splitRows(lines: readonly string[]): Row[][] {
  const sentences: Row[][] = [];
  let sentence: Row[] | null = null;
  lines.forEach((text, index) => {
    if (/^[ \t]*$/.test(text) || text.startsWith(DOCUMENT_START)) {
      sentence = null;
      return;
    }
    if (sentence === null) {
      sentence = [];
      sentences.push(sentence);
    }
    sentence.push({ columns: columnsOf(text), line: index + 1, text });
  });
  return sentences;
}

/** What can't be seen at the end of a line is no part of it. */
function columnsOf(text: string): string[] {
  const seen = text.slice(0, visibleRange(text, 0, text.length)?.end ?? 0);
  return seen.includes('\t') ? seen.split('\t') : seen.split(/ +/).filter((part) => part !== '');
}

/** Gives rows of one column less behind a space that space as their token. All must then have as many as the first one. */
function completeColumns(sentences: readonly Row[][], file: string): void {
  const rows = sentences.flat();
  const first = rows.find(({ text }) => !text.startsWith(' ')) ?? rows[0];
  const width = Math.max(2, first?.columns.length ?? 0);
  for (const { columns, line, text } of rows) {
    if (columns.length === width - 1 && text.startsWith(' ')) columns.unshift(' ');
    if (columns.length < 2) throw noToken(file, line, text);
    const lineEnd = OTHER_LINE_ENDS.exec(columns.slice(1).join());
    if (lineEnd !== null) {
      throw refused(
        file,
        line,
        'lines that end with LF or CRLF',
        `${withEscapes(lineEnd[0])} within one; convert the line ends`,
      );
    }
    if (columns.length !== width) {
      throw refused(
        file,
        line,
        `${width} columns, as in line ${first.line},`,
        `${columns.length}: ${shownText(text)}`,
      );
    }
  }
}

/** Whether the first of three or more columns is a number in every row, and one of its row or sentence rather than a token. */
function isNumbered(sentences: readonly Row[][]): boolean {
  let rowsBefore = 0;
  let perSentence = true;
  let perFile = true;
  let hasTokensBehind = false;
  for (const rows of sentences) {
    for (const [place, { columns }] of rows.entries()) {
      if (columns.length < 3 || !/^\d+$/.test(columns[0])) return false;
      const number = Number(columns[0]) - Number(sentences[0][0].columns[0]);
      perSentence &&= number === place;
      perFile &&= number === rowsBefore + place;
      hasTokensBehind ||= IDEOGRAPH.test(columns[1]);
    }
    rowsBefore += rows.length;
  }
  // A single row may be a sentence about a number.
  return rowsBefore > 1 && (perSentence || perFile || hasTokensBehind);
}

/** Longer tokens than this with an ideograph aren't words. */
const LONGEST_WORD = 12;

/** A file of two columns, a text and its class, reads like one of tokens and tags: every text would become an entity. */
function checkTokens(sentences: readonly TaggedSentence[], file: string): void {
  let tokenCount = 0;
  let long: { line: number; token: string } | undefined;
  let longCount = 0;
  for (const { tokens, lines } of sentences) {
    tokenCount += tokens.length;
    for (const [place, token] of tokens.entries()) {
      if (token.length <= LONGEST_WORD || !IDEOGRAPH.test(token)) continue;
      longCount += 1;
      long ??= { line: lines[place], token };
    }
  }
  if (long === undefined || longCount * 2 <= tokenCount) return;
  throw refused(
    file,
    long.line,
    'a character or word and its tag in each line',
    `whole sentences, such as ${JSON.stringify(`${long.token.slice(0, 20)}…`)}; write one character a line, or entities within ` +
      'the text ({{label:entity}})',
  );
}

function noToken(file: string, line: number, text: string): AlbertNerError {
  return refused(file, line, 'a token and a tag', shownText(text));
}

function shownText(text: string): string {
  return withEscapes(JSON.stringify(text.slice(0, 60)));
}

function refused(file: string, line: number, expected: string, received: string): AlbertNerError {
  return new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${line}: Expected ${expected} but received ${received}`,
    {
      details: { file, line },
    },
  );
}

function withoutPlaces(sentences: TaggedSentence[]): TaggedSentence[] {
  if (!sentences.every(({ tokens }) => tokens.every((token) => NUMBERED.test(token)))) return sentences;
  return sentences.map((sentence) => ({
    ...sentence,
    tokens: sentence.tokens.map((token) => token.replace(NUMBERED, '$1')),
  }));
}

/**
 * BIO, tab-separated, one code point a line. Control characters, spaces of all kinds and line breaks can't stand in a
 * column and are left out.
 */
export function writeConll(sentences: readonly Pick<LabelledSentence, 'text' | 'spans'>[]): string {
  return sentences.map(({ text, spans }) => `${sentenceLines(text, spans).join('\n')}\n`).join('\n');
}

function sentenceLines(text: string, spans: LabelledSentence['spans']): string[] {
  const lines: string[] = [];
  let offset = 0;
  let open: LabelledSentence['spans'][number] | undefined;
  for (const character of text) {
    const span = spans.find(({ start, end }) => start <= offset && offset < end);
    if (!/[\p{C}\p{Z}]/u.test(character)) {
      lines.push(`${character}\t${span ? `${span === open ? 'I' : 'B'}-${span.label}` : 'O'}`);
      open = span;
    }
    offset += character.length;
  }
  return lines;
}
