/**
 * What one code point is to the tokeniser: skipped, a mark that belongs to the character before, or a key into the
 * vocabulary (lower case, canonically decomposed, marks removed). Tables are pinned to one Unicode version.
 */

import { FOLDINGS, KIND_RUNS } from './unicode-tables.js';

/** Kinds of code points. */
export const KIND = { kept: 0, skipped: 1, mark: 2 } as const;

const LAST_CODE_POINT = 0x10ffff;
const HANGUL = {
  first: 0xac00,
  last: 0xd7a3,
  l: 0x1100,
  v: 0x1161,
  t: 0x11a7,
  vCount: 21,
  tCount: 28,
} as const;

const kinds = readKinds();
const foldings = readFoldings();

function readKinds(): Uint8Array {
  const table = new Uint8Array(LAST_CODE_POINT + 1);
  const runs = KIND_RUNS.split(' ').map((run) => run.split('.'));
  runs.forEach(([first, kind], index) => {
    const end = index + 1 < runs.length ? Number.parseInt(runs[index + 1][0], 36) : table.length;
    table.fill(Number(kind), Number.parseInt(first, 36), end);
  });
  return table;
}

function readFoldings(): Map<number, string> {
  const map = new Map<number, string>();
  for (const entry of FOLDINGS.split(' ')) {
    const [code, ...parts] = entry.split('.').map((part) => Number.parseInt(part, 36));
    map.set(code, String.fromCodePoint(...parts));
  }
  return map;
}

/** One of KIND; lone surrogates are kept (they read as [UNK]). */
export function kindOf(codePoint: number): number {
  return kinds[codePoint];
}

/** The vocabulary key of a code point, or undefined when it makes no unit of its own. */
export function normalizeCodePoint(codePoint: number): string | undefined {
  if (kinds[codePoint] !== KIND.kept) return undefined;
  if (codePoint >= HANGUL.first && codePoint <= HANGUL.last) return decomposeHangul(codePoint - HANGUL.first);
  return foldings.get(codePoint) ?? String.fromCodePoint(codePoint);
}

/** Arithmetic decomposition of a syllable into its letters. Source: The Unicode Standard, section 3.12. */
function decomposeHangul(index: number): string {
  const lead = HANGUL.l + Math.floor(index / (HANGUL.vCount * HANGUL.tCount));
  const vowel = HANGUL.v + Math.floor((index % (HANGUL.vCount * HANGUL.tCount)) / HANGUL.tCount);
  const tail = index % HANGUL.tCount;
  return String.fromCharCode(lead, vowel, ...(tail === 0 ? [] : [HANGUL.t + tail]));
}
