/**
 * Running text with entities in double braces, "{{label:entity}}", one text a line (the form of the BosonNLP corpus).
 * White space around an entity's text stays in the text but not in the entity.
 */

import { AlbertNerError } from '../errors.js';
import { readLines } from './read-lines.js';
import type { TaggedSentence } from './sentences.js';

const ENTITY = /\{\{([^{}:]*):([^{}]*)\}\}/g;

export async function readInline(file: string): Promise<TaggedSentence[]> {
  const sentences: TaggedSentence[] = [];
  (await readLines(file)).forEach((text, index) => {
    if (text.trim() === '') return;
    const line = index + 1;
    const sentence: TaggedSentence = { tokens: [], tags: [], file, lines: [] };
    const add = (part: string, label: string | null) => {
      let first = true;
      for (const character of part) {
        sentence.tokens.push(character);
        sentence.tags.push(label === null ? 'O' : `${first ? 'B' : 'I'}-${label}`);
        sentence.lines.push(line);
        first = false;
      }
    };
    let end = 0;
    for (const match of text.matchAll(ENTITY)) {
      const [whole, name, content] = match;
      const label = name.trim();
      if (!/^\S+$/.test(label)) throw malformed(file, line, whole);
      add(text.slice(end, match.index), null);
      const inner = content.trim();
      const start = content.indexOf(inner);
      add(content.slice(0, start), null);
      add(inner, label);
      add(content.slice(start + inner.length), null);
      end = match.index + whole.length;
    }
    const rest = text.slice(end);
    if (/\{\{[^{}]*:/.test(rest)) throw malformed(file, line, rest);
    add(rest, null);
    sentences.push(sentence);
  });
  return sentences;
}

function malformed(file: string, line: number, received: string): AlbertNerError {
  return new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${line}: Expected {{label:entity}} but received ${JSON.stringify(received.slice(0, 60))}`,
    { details: { file, line } },
  );
}
