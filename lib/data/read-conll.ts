/** Two or more columns, token first and tag last, a blank line between sentences; and the writer of that form. */

import { AlbertNerError } from '../errors.js';
import { parseTag } from '../labels/scheme.js';
import { trimInvisible } from '../text/visible.js';
import type { LabelledSentence, SourceLines, TaggedSentence } from './sentences.js';

const DOCUMENT_START = '-DOCSTART-';

/** A character and its place in a word, 技1. Emoji that got lost on the way to Weibo NER stand as two U+FFFD. */
const NUMBERED = /^(.|\ufffd\ufffd)\d+$/su;

/**
 * Columns are parted by tabs where a line has one, else by spaces; a token that is itself white space is kept. "-DOCSTART-" ends a
 * sentence. In a file whose every token is a character and a number, as in Weibo NER (科0 技1), the number is its place in the word
 * and no part of the text; a first column that only counts the rows is none either.
 *
 * Throws ERR_INVALID_DATA, file and line: a line without token or tag, whole sentences for tokens.
 */
export function readConll({ file, lines: content }: SourceLines): TaggedSentence[] {
  const sentences: RowSentence[] = [];
  let sentence: RowSentence | null = null;
  content.forEach((text, index) => {
    const line = index + 1;
    if (/^[ \t]*$/.test(text) || text.startsWith(DOCUMENT_START)) {
      sentence = null;
      return;
    }
    const columns = columnsOf(text);
    if (columns === null) {
      throw new AlbertNerError(
        'ERR_INVALID_DATA',
        `${file}:${line}: Expected a token and a tag but received ${JSON.stringify(text.slice(0, 60))}`,
        { details: { file, line } },
      );
    }
    if (sentence === null) {
      sentence = { rows: [], lines: [] };
      sentences.push(sentence);
    }
    sentence.rows.push(columns);
    sentence.lines.push(line);
  });
  const column = countsRows(sentences) ? 1 : 0;
  const tagged = sentences.map(({ rows, lines }) => ({
    tokens: rows.map((columns) => columns[column]),
    tags: rows.map((columns) => trimInvisible(columns.at(-1) as string)),
    file,
    lines,
  }));
  checkTokens(tagged, file);
  return withoutPlaces(tagged);
}

/** A sentence in columns. */
interface RowSentence {
  rows: string[][];
  lines: number[];
}

/** Null where there is no token or no tag. */
function columnsOf(text: string): string[] | null {
  if (text.includes('\t')) {
    const columns = text.trimEnd().split('\t');
    return columns.length < 2 || columns[0] === '' ? null : columns;
  }
  // Behind a space that is the token come one that parts and the tag.
  const space = /^ +(\S+) *$/.exec(text);
  if (space !== null && parseTag(space[1]) !== undefined) return [' ', space[1]];
  const columns = text.split(/ +/).filter((part) => part !== '');
  return columns.length < 2 ? null : columns;
}

/** Whether the first of three or more columns is the number of the row in its sentence, or in the file, in every row. */
function countsRows(sentences: readonly RowSentence[]): boolean {
  let rowsBefore = 0;
  let perSentence = true;
  let perFile = true;
  for (const { rows } of sentences) {
    for (const [place, columns] of rows.entries()) {
      if (columns.length < 3 || !/^\d+$/.test(columns[0])) return false;
      const number = Number(columns[0]) - Number(sentences[0].rows[0][0]);
      perSentence &&= number === place;
      perFile &&= number === rowsBefore + place;
    }
    rowsBefore += rows.length;
  }
  // A single row may be a sentence about a number.
  return rowsBefore > 1 && (perSentence || perFile);
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
      if (token.length <= LONGEST_WORD || !/\p{Script=Han}/u.test(token)) continue;
      longCount += 1;
      long ??= { line: lines[place], token };
    }
  }
  if (long === undefined || longCount * 2 <= tokenCount) return;
  throw new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${long.line}: Expected a character or word and its tag in each line but received whole sentences, such as ` +
      `${JSON.stringify(`${long.token.slice(0, 20)}…`)}; write one character a line, or entities within the text ` +
      '({{label:entity}})',
    { details: { file, line: long.line } },
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
