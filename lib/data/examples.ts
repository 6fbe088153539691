/** From labelled text to what training takes: unit ids and tags, in pieces the encoder can hold. */

import type { TagSet } from '../labels/scheme.js';
import { encodeSpans, type Span } from '../labels/spans.js';
import type { Tokenizer, Units } from '../text/tokenizer.js';
import { lines, splitForTraining } from '../text/windows.js';
import type { LabelledSentence } from './sentences.js';

/** One training sequence. */
export interface Example {
  /** Vocabulary ids. */
  ids: Int32Array;
  /** Tag indexes, as many. */
  tags: Int32Array;
}

/**
 * UTF-16 spans to unit positions: every unit a span touches belongs to it. A span whose characters all vanished in
 * tokenisation is dropped. Both lists are in text order.
 */
export function alignSpans(units: Units, spans: readonly Span[]): Span[] {
  const aligned: Span[] = [];
  let unit = 0;
  for (const { start, end, label } of spans) {
    while (unit < units.length && units.ends[unit] <= start) unit += 1;
    const first = unit;
    while (unit < units.length && units.starts[unit] < end) unit += 1;
    if (unit > first) aligned.push({ start: first, end: unit, label });
  }
  return aligned;
}

/** A piece of a sentence as a tagger reads it. */
export interface TaggedPiece {
  units: Units;
  /** Tag indexes, as many. */
  tags: Int32Array;
}

/** Pieces of at most `maxUnits` units: long lines are split, never cut off, and never inside an entity. */
export function* taggedPieces(
  { text, spans }: LabelledSentence,
  tokenizer: Tokenizer,
  tagSet: TagSet,
  maxUnits: number,
): Generator<TaggedPiece> {
  for (const { start, end } of lines(text)) {
    const units = tokenizer.tokenize(text, start, end);
    const inLine = spans.filter((span) => span.start >= start && span.end <= end);
    const tags = encodeSpans(alignSpans(units, inLine), units.length, tagSet);
    const isInside = (tag: number) => tagSet.continuesEntity(tag);
    for (const piece of splitForTraining(text, units, tags, { maxUnits, isInside })) {
      const cut = (values: Int32Array) => values.slice(piece.start, piece.end);
      const { ids, starts, ends } = units;
      yield {
        units: { length: piece.end - piece.start, ids: cut(ids), starts: cut(starts), ends: cut(ends) },
        tags: cut(tags),
      };
    }
  }
}

/** The pieces as training sequences. */
export function toExamples(
  sentence: LabelledSentence,
  tokenizer: Tokenizer,
  tagSet: TagSet,
  maxUnits: number,
): Example[] {
  return Array.from(taggedPieces(sentence, tokenizer, tagSet, maxUnits), ({ units, tags }) => ({
    ids: units.ids,
    tags,
  }));
}
