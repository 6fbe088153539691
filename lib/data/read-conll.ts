/** Two or more columns, token first and tag last, a blank line between sentences; and the writer of that form. */

import { AlbertNerError } from '../errors.js';
import { readLines } from './read-lines.js';
import type { LabelledSentence, TaggedSentence } from './sentences.js';

const DOCUMENT_START = '-DOCSTART-';

/** A character and its place in a word, 技1. Emoji that got lost on the way to Weibo NER stand as two U+FFFD. */
const NUMBERED = /^(.|\ufffd\ufffd)\d+$/su;

/**
 * Columns are parted by tabs where a line has one, else by spaces; a token that is itself white space (a full-width
 * space) is kept. "-DOCSTART-" lines are skipped. In a file whose every token is a character and a number, as in Weibo
 * NER (科0 技1), the number is its place in the word and no part of the text.
 */
export async function readConll(file: string): Promise<TaggedSentence[]> {
  const sentences: TaggedSentence[] = [];
  let sentence: TaggedSentence | null = null;
  (await readLines(file)).forEach((text, index) => {
    const line = index + 1;
    if (/^[ \t]*$/.test(text)) {
      sentence = null;
      return;
    }
    if (text.startsWith(DOCUMENT_START)) return;
    const columns = text.includes('\t')
      ? text.trimEnd().split('\t')
      : text.split(/ +/).filter((part) => part !== '');
    if (columns.length < 2 || columns[0] === '') {
      throw new AlbertNerError(
        'ERR_INVALID_DATA',
        `${file}:${line}: Expected a token and a tag but received ${JSON.stringify(text.slice(0, 60))}`,
        { details: { file, line } },
      );
    }
    if (sentence === null) {
      sentence = { tokens: [], tags: [], file, lines: [] };
      sentences.push(sentence);
    }
    sentence.tokens.push(columns[0]);
    sentence.tags.push((columns.at(-1) as string).trim());
    sentence.lines.push(line);
  });
  return withoutPlaces(sentences);
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
