/**
 * Running text with entities in double braces, "{{label:entity}}", one text a line (the form of the BosonNLP corpus).
 */

import { AlbertNerError } from '../errors.js';
import { isVisible, trimInvisible } from '../text/visible.js';
import type { SourceLines, TaggedSentence } from './sentences.js';

/** Where an entity opens or closes, or would if its braces and colon were plain ones. */
const BRACES = /\{\{([^{}｛｝:：]*):|\{\{|\}\}|｛｛|｝｝/g;

/** In tokens. */
interface OpenEntity {
  label: string;
  start: number;
  /** In the line. */
  index: number;
}

interface Entity extends OpenEntity {
  end: number;
}

/**
 * Entities of labels that are dropped are left out, then entities within another, these with a warning.
 *
 * Throws ERR_INVALID_DATA, file and line, for braces that aren't those of an entity: unpaired or full-width ones, a full-width colon,
 * an entity without text or label.
 */
export function readInline(
  { file, lines }: SourceLines,
  isDropped: (label: string) => boolean = () => false,
): TaggedSentence[] {
  const sentences: TaggedSentence[] = [];
  lines.forEach((text, index) => {
    if (text.trim() !== '') sentences.push(toSentence(text, { file, line: index + 1 }, isDropped));
  });
  return sentences;
}

function toSentence(
  text: string,
  place: { file: string; line: number },
  isDropped: (label: string) => boolean,
): TaggedSentence {
  const { tokens, entities } = parse(text, place);
  const tags = tokens.map(() => 'O');
  const warnings: TaggedSentence['warnings'] = [];
  const shown = ({ label, start, end }: Entity) =>
    `${label} ${JSON.stringify(tokens.slice(start, end).join(''))}`;
  let outer: Entity | undefined;
  // Those around others come first.
  for (const entity of entities.sort((a, b) => a.start - b.start || a.index - b.index)) {
    if (isDropped(entity.label)) continue;
    if (outer !== undefined && entity.start < outer.end) {
      warnings.push({ ...place, message: `${shown(entity)} lies within ${shown(outer)} and is left out` });
      continue;
    }
    outer = entity;
    const { label, start, end } = entity;
    tags.fill(`I-${label}`, start, end).fill(`B-${label}`, start, start + 1);
  }
  return { tokens, tags, file: place.file, lines: tokens.map(() => place.line), warnings };
}

function parse(
  text: string,
  place: { file: string; line: number },
): { tokens: string[]; entities: Entity[] } {
  const tokens: string[] = [];
  const entities: Entity[] = [];
  const open: OpenEntity[] = [];
  let end = 0;
  const add = (part: string) => {
    for (const character of part) tokens.push(character);
  };
  for (const { 0: braces, 1: name, index } of text.matchAll(BRACES)) {
    add(text.slice(end, index));
    end = index + braces.length;
    if (name !== undefined) {
      const label = trimInvisible(name);
      if (!isVisible(label)) throw malformed(place, text.slice(index));
      open.push({ label, start: tokens.length, index });
      continue;
    }
    const closed = braces === '}}' ? open.pop() : undefined;
    if (closed === undefined || trimInvisible(tokens.slice(closed.start).join('')) === '')
      throw malformed(place, text.slice(closed?.index ?? index));
    entities.push({ ...closed, end: tokens.length });
  }
  add(text.slice(end));
  if (open.length > 0) throw malformed(place, text.slice(open[0].index));
  return { tokens, entities };
}

function malformed({ file, line }: { file: string; line: number }, received: string): AlbertNerError {
  return new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${line}: Expected {{label:entity}} with plain braces and a plain colon but received ` +
      JSON.stringify(received.slice(0, 60)),
    { details: { file, line } },
  );
}
