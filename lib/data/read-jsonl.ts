/**
 * JSON lines: one object a line with a text and its entities, under `label`, `labels` or `entities`, in one of these forms.
 * Offsets count code points, as Python does, not UTF-16 units.
 *
 * - CLUENER: {"name": {"王明": [[0, 1]]}}; ends are inclusive, and the key must be the text at the offsets.
 * - doccano, spaCy: [[0, 2, "name"]]; ends are exclusive.
 * - doccano with relations: [{"start_offset": 0, "end_offset": 2, "label": "name"}], or `start` and `end`; exclusive.
 */

import { AlbertNerError } from '../errors.js';
import { isVisible, trimInvisible, withEscapes } from '../text/visible.js';
import { describeValue } from '../validate.js';
import type { SourceLines, TaggedSentence } from './sentences.js';

const ENTITY_FIELDS = ['label', 'labels', 'entities'];

/** An entity as it stands in the file. */
interface Entity {
  start: unknown;
  /** Exclusive. */
  end: unknown;
  label: unknown;
  /** What its text must be, where the form says it. */
  text?: string;
  /** Its place in the object, and what is there. */
  field: string;
  received: unknown;
}

/** An entity whose offsets and label are sound, in tokens. */
interface TokenSpan {
  start: number;
  end: number;
  label: string;
  field: string;
}

/** The error for a field of a line. */
type Refuse = (field: string, expected: string, received: string) => AlbertNerError;

/**
 * A token is a code point. Lines that are blank or whose text is empty are skipped. Entities of labels that are dropped
 * are left out, then entities within another, these with a warning.
 *
 * Rejects with ERR_INVALID_DATA, file, line and field: no JSON, no object, offsets out of range, an entity that isn't
 * the text at its offsets, a label that isn't a name without white space, entities that overlap otherwise.
 */
export function readJsonl(
  { file, lines }: SourceLines,
  isDropped: (label: string) => boolean = () => false,
): TaggedSentence[] {
  const sentences: TaggedSentence[] = [];
  lines.forEach((json, index) => {
    if (json.trim() === '') return;
    if (sentences.length === 0 && /^\s*\[/.test(json)) throw notLines(file, index + 1, lines);
    const sentence = toSentence(json, { file, line: index + 1, isDropped });
    if (sentence.tokens.length > 0) sentences.push(sentence);
  });
  return sentences;
}

interface LineContext {
  file: string;
  line: number;
  isDropped: (label: string) => boolean;
}

function toSentence(json: string, { file, line, isDropped }: LineContext): TaggedSentence {
  const refuse: Refuse = (field, expected, received) =>
    new AlbertNerError(
      'ERR_INVALID_DATA',
      `${file}:${line}: Expected ${expected} for ${field} but received ${received}`,
      { details: { file, line, field } },
    );
  const record = parseObject(json, refuse);
  if (isLabelStudio(record)) {
    throw refuse(
      'the line',
      `{"text", "entities": [[start, end, label]]} (convert each task to it)`,
      'a task of Label Studio',
    );
  }
  const text = record.text ?? record.data; // doccano's older name
  if (typeof text !== 'string') throw refuse('text', 'a string', describeValue(text));
  const fields = ENTITY_FIELDS.filter((name) => Object.hasOwn(record, name));
  if (fields.length !== 1)
    throw refuse('the entities', `one of ${ENTITY_FIELDS.join(', ')}`, fields.join(' and ') || 'none');
  const tokens = Array.from(text);
  const spans = [...entitiesOf(record[fields[0]], fields[0], refuse)]
    .map((entity) => checkEntity(entity, tokens, refuse))
    .filter(({ label }) => !isDropped(label));
  const { kept, nested, repeated } = withoutNested(spans, refuse);
  const tags = tokens.map(() => 'O');
  for (const { start, end, label } of kept)
    tags.fill(`I-${label}`, start, end).fill(`B-${label}`, start, start + 1);
  const textOf = ({ start, end }: TokenSpan) => tokens.slice(start, end).join('');
  const shown = (span: TokenSpan) => `${span.label} ${JSON.stringify(textOf(span))}`;
  const messages = [
    ...repeated.map((span) => `${shown(span)} stands there twice and is read once`),
    ...nested.map(([inner, outer]) => `${shown(inner)} lies within ${shown(outer)} and is left out`),
    ...kept
      .filter((span) => trimInvisible(textOf(span)).includes('\n'))
      .map(
        (span) =>
          `${shown(span)} goes over a line break; training reads it as O, and no prediction goes over one`,
      ),
  ];
  const warnings = messages.map((message) => ({ file, line, message }));
  return { tokens, tags, file, lines: tokens.map(() => line), warnings };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseObject(json: string, refuse: Refuse): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw refuse('the line', 'a whole JSON object', `${describeValue(json)}: ${(error as Error).message}`);
  }
  if (!isObject(value)) throw refuse('the line', 'a JSON object', describeValue(value));
  return value;
}

function* entitiesOf(value: unknown, field: string, refuse: Refuse): Generator<Entity> {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield listedEntity(item, `${field}[${index}]`, refuse);
    return;
  }
  if (!isObject(value)) throw refuse(field, 'a list or an object', describeValue(value));
  for (const [label, texts] of Object.entries(value)) {
    if (!isObject(texts)) throw refuse(`${field}.${label}`, 'an object', describeValue(texts));
    for (const [text, places] of Object.entries(texts)) {
      const path = `${field}.${label}.${text}`;
      if (!Array.isArray(places)) throw refuse(path, 'a list of [start, end]', describeValue(places));
      for (const [index, received] of places.entries()) {
        const [start, last] = Array.isArray(received) && received.length === 2 ? received : [];
        const end = typeof last === 'number' ? last + 1 : last;
        yield { start, end, label, text, field: `${path}[${index}]`, received };
      }
    }
  }
}

function listedEntity(received: unknown, field: string, refuse: Refuse): Entity {
  if (Array.isArray(received) && received.length === 3) {
    const [start, end, label] = received;
    return { start, end, label, field, received };
  }
  if (!isObject(received)) throw refuse(field, '[start, end, label] or an object', shortJson(received));
  const { start_offset, start = start_offset, end_offset, end = end_offset, label } = received;
  return { start, end, label, field, received };
}

function checkEntity(entity: Entity, tokens: readonly string[], refuse: Refuse): TokenSpan {
  const { start, end, label, text, field, received } = entity;
  const isOffset = (value: unknown): value is number => Number.isSafeInteger(value);
  if (!isOffset(start) || !isOffset(end) || start < 0 || start >= end || end > tokens.length)
    throw refuse(field, `start and end of a part of ${tokens.length} characters`, shortJson(received));
  if (typeof label !== 'string' || !isVisible(label))
    throw refuse(
      field,
      "a label without white space or other characters that can't be seen",
      withEscapes(describeValue(label)),
    );
  const found = tokens.slice(start, end).join('');
  if (text !== undefined && text !== found)
    throw refuse(field, `the text ${JSON.stringify(text)}`, JSON.stringify(found));
  return { start, end, label, field };
}

/** In text order; of entities within each other the outermost is kept, as tags can say only one. */
function withoutNested(spans: readonly TokenSpan[], refuse: Refuse) {
  const kept: TokenSpan[] = [];
  const nested: [inner: TokenSpan, outer: TokenSpan][] = [];
  const repeated: TokenSpan[] = [];
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const before = kept.at(-1);
    if (before === undefined || span.start >= before.end) {
      kept.push(span);
    } else if (span.start === before.start && span.end === before.end && span.label === before.label) {
      repeated.push(span);
    } else if (span.end <= before.end && span.end - span.start < before.end - before.start) {
      nested.push([span, before]);
    } else {
      throw refuse(span.field, 'no overlap', `an entity that overlaps ${before.field}`);
    }
  }
  return { kept, nested, repeated };
}

function isLabelStudio({ data, annotations, completions, predictions }: Record<string, unknown>): boolean {
  return isObject(data) && [annotations, completions, predictions].some(Array.isArray);
}

function notLines(file: string, line: number, lines: readonly string[]): AlbertNerError {
  const isExport = lines.some((text) => /"(annotations|completions|annotation_id)"\s*:/.test(text));
  const what = isExport ? 'an export of Label Studio, one JSON array' : 'a JSON array';
  return new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${line}: Expected one JSON object a line, {"text", "entities": [[start, end, label]]}, but received ${what}; write each ` +
      'item as a line of that form',
    { details: { file, line } },
  );
}

function shortJson(value: unknown): string {
  const json = JSON.stringify(value);
  return json.length > 60 ? `${json.slice(0, 60)}…` : json;
}
