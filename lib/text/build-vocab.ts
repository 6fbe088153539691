/**
 * Builds a character vocabulary from text: the five special tokens, printable ASCII, the punctuation Chinese text is
 * written with, then every other character by frequency.
 */

import { normalizeCodePoint } from './normalize.js';
import { Vocab } from './vocab.js';

const SPECIAL_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];

/** Beside ASCII: what every Chinese text may hold, whether or not the sample does. */
const CHINESE_PUNCTUATION = '，。、；：？！“”‘’（）《》〈〉【】「」『』…—·～￥％';

export interface BuildVocabOptions {
  /** Characters seen less often are left out and read as [UNK]. Default 1. */
  minCount?: number;
  /** Most entries, special tokens included. Default 30,000. */
  maxSize?: number;
}

/** Counts characters, text by text. Equal text gives an equal vocabulary: ties of frequency go by code point. */
export class VocabBuilder {
  private readonly counts = new Map<string, number>();

  add(text: string): void {
    for (const character of text) {
      const token = normalizeCodePoint(character.codePointAt(0) as number);
      if (token) this.counts.set(token, (this.counts.get(token) ?? 0) + 1);
    }
  }

  build({ minCount = 1, maxSize = 30_000 }: BuildVocabOptions = {}): Vocab {
    const tokens = new Set(SPECIAL_TOKENS);
    for (let code = 0x21; code < 0x7f; code += 1) addNormalized(tokens, code);
    for (const character of CHINESE_PUNCTUATION) addNormalized(tokens, character.codePointAt(0) as number);
    const byFrequency = [...this.counts].sort(
      ([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1),
    );
    for (const [token, count] of byFrequency) {
      if (tokens.size >= maxSize || count < minCount) break;
      tokens.add(token);
    }
    return Vocab.parse(new TextEncoder().encode(`${[...tokens].join('\n')}\n`));
  }
}

function addNormalized(tokens: Set<string>, codePoint: number): void {
  const token = normalizeCodePoint(codePoint);
  if (token) tokens.add(token);
}
