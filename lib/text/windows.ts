/**
 * Cuts text where the encoder's length forces it to: lines, windows for prediction (overlapping, nothing lost), pieces
 * for training (disjoint, never inside an entity).
 */

import type { Units } from './tokenizer.js';

/** A line of text, UTF-16 offsets, without its '\n'. Only '\n' ends a line. */
export interface TextRange {
  start: number;
  end: number;
}

export function* lines(text: string): Generator<TextRange> {
  let start = 0;
  while (start <= text.length) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    yield { start, end };
    start = end + 1;
  }
}

/** A window [start, end) of units that keeps the rows of [keepStart, keepEnd); the rest is context. */
export interface Window {
  start: number;
  end: number;
  keepStart: number;
  keepEnd: number;
}

export interface WindowOptions {
  /** Units per window, context included; at least 1. */
  maxUnits: number;
  /** Units of context on each side of a cut; less when `maxUnits` doesn't leave room. */
  margin: number;
}

/** The better a cut, the higher its rank: after a sentence, after a clause, anywhere. */
const SENTENCE_END = 2;
const CLAUSE_END = 1;
const SENTENCE_ENDS = '。！？；!?;…';
const CLAUSE_ENDS = '，、,：:';

/** How good it is to cut after unit `index`. White space after the unit makes a clause end of it. */
function cutRank(text: string, units: Units, index: number): number {
  const character = text[units.starts[index]];
  if (SENTENCE_ENDS.includes(character)) return SENTENCE_END;
  const spaced = index + 1 < units.length && units.starts[index + 1] > units.ends[index];
  return spaced || CLAUSE_ENDS.includes(character) ? CLAUSE_END : 0;
}

/**
 * Windows whose kept ranges partition the units, in order. One window when the units fit; else each kept range ends
 * after the best punctuation of its second half, as late as possible, and has `margin` units of context on both sides.
 */
export function planWindows(text: string, units: Units, { maxUnits, margin }: WindowOptions): Window[] {
  const windows: Window[] = [];
  if (units.length === 0) return windows;
  if (units.length <= maxUnits) return [{ start: 0, end: units.length, keepStart: 0, keepEnd: units.length }];
  // A kept range of at least half a window, so that context never costs more than the text itself.
  const context = Math.min(margin, Math.floor(maxUnits / 4));
  for (let keepStart = 0; keepStart < units.length; ) {
    const start = Math.max(0, keepStart - context);
    const limit = start + maxUnits;
    let keepEnd = units.length;
    if (limit < units.length) {
      keepEnd = bestCut(limit - context, keepStart + Math.ceil((limit - context - keepStart) / 2), (index) =>
        cutRank(text, units, index),
      );
    }
    windows.push({ start, end: Math.min(units.length, keepEnd + context), keepStart, keepEnd });
    keepStart = keepEnd;
  }
  return windows;
}

/** The end in (earliest, latest] with the highest rank of its last unit, the latest among equals. */
function bestCut(latest: number, earliest: number, rank: (index: number) => number): number {
  let best = latest;
  let bestRank = rank(latest - 1);
  for (let end = latest - 1; end > earliest && bestRank < SENTENCE_END; end -= 1) {
    const candidate = rank(end - 1);
    if (candidate > bestRank) {
      best = end;
      bestRank = candidate;
    }
  }
  return best;
}

export interface TrainingCutOptions {
  maxUnits: number;
  /** Whether the tag of a unit continues an entity, so that no cut may come before it. */
  isInside: (tag: number) => boolean;
}

/**
 * Disjoint pieces of at most `maxUnits` units, cut after the best punctuation of the second half and never inside an
 * entity, unless the entity alone is longer than that.
 */
export function splitForTraining(
  text: string,
  units: Units,
  tags: Int32Array,
  { maxUnits, isInside }: TrainingCutOptions,
): TextRange[] {
  const pieces: TextRange[] = [];
  for (let start = 0; start < units.length; ) {
    let end = units.length;
    if (end - start > maxUnits) {
      const latest = start + maxUnits;
      const rank = (index: number) =>
        isInside(tags[index + 1]) ? Number.NEGATIVE_INFINITY : cutRank(text, units, index);
      end = bestCut(latest, start + Math.ceil(maxUnits / 2), rank);
      // Only entity in the second half: cut before it, wherever that is.
      while (end > start && isInside(tags[end])) end -= 1;
      if (end === start) end = latest;
    }
    pieces.push({ start, end });
    start = end;
  }
  return pieces;
}
