/**
 * The members of a JSON object as they are written, for programs that pass on what they don't understand: parsed and written
 * again, 1234567890123456789 would become 1234567890123456800 and 1.0 would become 1.
 */

export interface JsonMember {
  key: string;
  /** The value's own text. */
  source: string;
}

const WHITE_SPACE = ' \t\n\r';

/** `text` must be a JSON object: what JSON.parse takes. In order, members of equal names all. */
export function jsonMembers(text: string): JsonMember[] {
  const members: JsonMember[] = [];
  let place = skipSpace(text, 0) + 1; // behind {
  for (;;) {
    place = skipSpace(text, place);
    if (text[place] === '}') return members;
    if (text[place] === ',') place = skipSpace(text, place + 1);
    const keyEnd = valueEnd(text, place);
    const key = JSON.parse(text.slice(place, keyEnd)) as string;
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1); // behind :
    place = valueEnd(text, start);
    members.push({ key, source: text.slice(start, place) });
  }
}

function skipSpace(text: string, place: number): number {
  let next = place;
  while (WHITE_SPACE.includes(text[next])) next += 1;
  return next;
}

/** End of the value that begins at `start`. */
function valueEnd(text: string, start: number): number {
  if (text[start] === '"') return stringEnd(text, start);
  let depth = 0;
  for (let place = start; ; place += 1) {
    const character = text[place];
    if (character === '"') place = stringEnd(text, place) - 1;
    else if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') {
      if (depth === 0) return place; // of the object around a number or a word
      depth -= 1;
      if (depth === 0) return place + 1;
    } else if (depth === 0 && (character === ',' || character === ':' || WHITE_SPACE.includes(character))) {
      return place;
    }
  }
}

function stringEnd(text: string, start: number): number {
  let place = start + 1;
  while (text[place] !== '"') place += text[place] === '\\' ? 2 : 1;
  return place + 1;
}
