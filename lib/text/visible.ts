/**
 * What of a stretch of text a tagger can see, by the tokenizer's own tables: entities of corpora begin and end there, since no
 * prediction could begin or end elsewhere.
 */

import { KIND, kindOf } from './normalize.js';

export interface VisibleRange {
  start: number;
  /** Exclusive. */
  end: number;
}

/**
 * The stretch from the first unit in text[from, to) to the last one, with the marks that follow it: UTF-16 offsets; null when there
 * is no unit. Marks behind `to` belong to it, too.
 */
export function visibleRange(text: string, from: number, to: number): VisibleRange | null {
  let start = -1;
  let end = -1;
  for (let place = from; place < text.length; ) {
    const codePoint = text.codePointAt(place) as number;
    const next = place + (codePoint > 0xffff ? 2 : 1);
    const kind = kindOf(codePoint);
    if (kind === KIND.mark && end === place) end = next;
    else if (place >= to) break;
    else if (kind === KIND.kept) {
      if (start < 0) start = place;
      end = next;
    }
    place = next;
  }
  return start < 0 ? null : { start, end };
}

/** A name without characters at its edges that nobody can see. */
export function trimInvisible(name: string): string {
  const range = visibleRange(name, 0, name.length);
  return range === null ? '' : name.slice(range.start, range.end);
}

/** Whether every character of a name can be seen. */
export function isVisible(name: string): boolean {
  return (
    name !== '' &&
    Array.from(name).every((character) => kindOf(character.codePointAt(0) as number) === KIND.kept)
  );
}

/** For messages: what can't be seen, but plain spaces, as escapes. */
export function withEscapes(text: string): string {
  return Array.from(text, (character) => {
    const codePoint = character.codePointAt(0) as number;
    return character === ' ' || kindOf(codePoint) === KIND.kept
      ? character
      : `\\u{${codePoint.toString(16)}}`;
  }).join('');
}
