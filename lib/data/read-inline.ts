/**
 * Running text with entities in double braces, "{{label:entity}}", one text a line (the form of the BosonNLP corpus).
 */

import { AlbertNerError } from '../errors.js';
import { isVisible, trimInvisible } from '../text/visible.js';
import type { SourceLines, SourcePlace, TaggedSentence } from './sentences.js';

/** Where an entity opens or closes, or would if its braces and colon were plain ones. */
const BRACES = /\{\{([^{}｛｝:：]*):|\{\{|\}\}|｛｛|｝｝/g;

/** Where an entity opens whose braces are single ones, if its label is one of the file's. */
const SINGLE_BRACE = /[{｛]\s*([^{}｛｝:：\s]+)\s*[:：]/g;

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

interface ParsedLine {
  place: SourcePlace;
  tokens: string[];
  entities: Entity[];
}

/**
 * Entities of labels that are dropped are left out, then entities within another, these with a warning.
 *
 * Throws ERR_INVALID_DATA, file and line, for braces that aren't those of an entity: unpaired or full-width ones, single ones around
 * a label of the file, a full-width colon, an entity without text or label.
 */
export function readInline(
  { file, lines }: SourceLines,
  isDropped: (label: string) => boolean = () => false,
): TaggedSentence[] {
  const parsed: ParsedLine[] = [];
  lines.forEach((text, index) => {
    if (text.trim() !== '') parsed.push(parse(text, { file, line: index + 1 }));
  });
  const labels = new Set(parsed.flatMap(({ entities }) => entities.map(({ label }) => label)));
  for (const line of parsed) checkSingleBraces(line, labels);
  return parsed.map((line) => toSentence(line, isDropped));
}

/** Such an entity would be lost, and its braces a part of the text. */
function checkSingleBraces({ place, tokens }: ParsedLine, labels: ReadonlySet<string>): void {
  const text = tokens.join('');
  for (const { 1: name, index } of text.matchAll(SINGLE_BRACE)) {
    if (labels.has(name)) throw malformed(place, text.slice(index));
  }
}

function toSentence(
  { place, tokens, entities }: ParsedLine,
  isDropped: (label: string) => boolean,
): TaggedSentence {
  const tags = tokens.map(() => 'O');
  const warnings: TaggedSentence['warnings'] = [];
  const shown = ({ label, start, end }: Entity) =>
    `${label} ${JSON.stringify(tokens.slice(start, end).join(''))}`;
  let outer: Entity | undefined;
  // Those around others come first.
  for (const entity of entities.sort((a, b) => a.start - b.start || a.index - b.index)) {
    if (isDropped(entity.label)) continue;
    if (outer !== undefined && entity.start < outer.end) {
      const isRepeated = shown(entity) === shown(outer) && entity.end === outer.end;
      const why = isRepeated
        ? 'stands there twice and is read once'
        : `lies within ${shown(outer)} and is left out`;
      warnings.push({ ...place, message: `${shown(entity)} ${why}` });
      continue;
    }
    outer = entity;
    const { label, start, end } = entity;
    tags.fill(`I-${label}`, start, end).fill(`B-${label}`, start, start + 1);
  }
  return { tokens, tags, file: place.file, lines: tokens.map(() => place.line), warnings };
}

function parse(text: string, place: SourcePlace): ParsedLine {
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
    const isEmpty = closed !== undefined && trimInvisible(tokens.slice(closed.start).join('')) === '';
    // Of three braces one is the entity's or the text's, and nothing says which.
    const isOdd = text[end] === '}' && text[end + 1] !== '}';
    if (closed === undefined || isEmpty || isOdd) throw malformed(place, text.slice(closed?.index ?? index));
    entities.push({ ...closed, end: tokens.length });
  }
  add(text.slice(end));
  if (open.length > 0) throw malformed(place, text.slice(open[0].index));
  return { place, tokens, entities };
}

function malformed({ file, line }: SourcePlace, received: string): AlbertNerError {
  return new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${line}: Expected {{label:entity}} with plain braces and a plain colon but received ` +
      JSON.stringify(received.slice(0, 60)),
    { details: { file, line } },
  );
}
