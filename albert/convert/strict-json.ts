/**
 * A JSON parser for headers of untrusted files: objects become Maps, so no key is special; a key given twice is an
 * error, where JSON.parse would take the last; numbers are integers of at most 2^53-1; nesting is bounded.
 */

export type StrictJson = string | number | boolean | null | StrictJson[] | Map<string, StrictJson>;

/** What is wrong, and at which character of the text. */
export class StrictJsonError extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

const SPACE = /[ \t\r\n]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids exactly these in strings.
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const INTEGER = /-?(?:0|[1-9][0-9]*)(?![.eE0-9])/y;

export function parseStrictJson(text: string, maxDepth: number): StrictJson {
  let offset = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = offset;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) offset += found.length;
    return found;
  };
  const fail = (message: string): never => {
    throw new StrictJsonError(message, offset);
  };
  const take = (character: string): boolean => {
    match(SPACE);
    if (text[offset] !== character) return false;
    offset += 1;
    return true;
  };
  const string = (): string => {
    match(SPACE);
    return JSON.parse(match(STRING) ?? fail('expected a string')) as string;
  };
  const object = (depth: number): Map<string, StrictJson> => {
    const map = new Map<string, StrictJson>();
    if (take('}')) return map;
    do {
      const key = string();
      if (map.has(key)) fail(`the key ${JSON.stringify(key.slice(0, 80))} is given twice`);
      if (!take(':')) fail('expected ":"');
      map.set(key, value(depth));
    } while (take(','));
    if (!take('}')) fail('expected "," or "}"');
    return map;
  };
  const array = (depth: number): StrictJson[] => {
    const items: StrictJson[] = [];
    if (take(']')) return items;
    do items.push(value(depth));
    while (take(','));
    if (!take(']')) fail('expected "," or "]"');
    return items;
  };
  const value = (depth: number): StrictJson => {
    if (depth > maxDepth) fail(`nested deeper than ${maxDepth}`);
    if (take('{')) return object(depth + 1);
    if (take('[')) return array(depth + 1);
    if (text[offset] === '"') return string();
    for (const [word, meaning] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (text.startsWith(word, offset)) {
        offset += word.length;
        return meaning;
      }
    }
    const number = Number(match(INTEGER) ?? fail('expected a value (numbers must be integers)'));
    return Number.isSafeInteger(number) ? number : fail('an integer beyond 2^53-1');
  };
  const result = value(0);
  match(SPACE);
  if (offset < text.length) fail('text after the end');
  return result;
}
