/**
 * Text to units: one unit per code point that says anything, with its UTF-16 span in the text as it was given.
 * Training and prediction tokenise with this and nothing else.
 *
 * 1. A lone surrogate is a unit that reads as [UNK].
 * 2. Controls, format characters, unassigned code points and all white space make no unit.
 * 3. A nonspacing mark makes none either, but lengthens the unit before it when it follows directly.
 * 4. Any other code point is looked up folded: lower case, canonically decomposed, without marks; one vocabulary entry
 *    or [UNK], never several pieces. Special tokens in user text are plain characters.
 */

import { KIND, kindOf, normalizeCodePoint } from './normalize.js';
import type { Vocab } from './vocab.js';

/** Units of a text; offsets are UTF-16 code units of the whole string, ends exclusive. */
export interface Units {
  readonly length: number;
  /** Vocabulary ids. */
  readonly ids: Int32Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** Tokenises a stretch of text bit by bit, so that long text needn't block the event loop. */
export interface TokenizerRun {
  /** Goes on for about `maxCodeUnits`; true when the stretch is finished. */
  step(maxCodeUnits: number): boolean;
  /** The units found so far. */
  units(): Units;
}

/** Basic multilingual plane and the rest of Unicode in pages of 256, made when first seen. */
const PAGE_BITS = 8;
const PAGE_SIZE = 1 << PAGE_BITS;

/** Table values below 0; ids are >= 0. */
const SKIP = -1;
const MARK = -2;
const UNSEEN = -3;

export class Tokenizer {
  private readonly vocab: Vocab;
  private readonly pages: (Int32Array | undefined)[] = [];

  constructor(vocab: Vocab) {
    this.vocab = vocab;
  }

  /** Units of text[from, to); both must not lie inside a surrogate pair. Linear. */
  tokenize(text: string, from = 0, to = text.length): Units {
    const run = this.begin(text, from, to);
    run.step(Number.POSITIVE_INFINITY);
    return run.units();
  }

  begin(text: string, from = 0, to = text.length): TokenizerRun {
    // There is at most one unit per code unit.
    const ids = new Int32Array(to - from);
    const starts = new Int32Array(to - from);
    const ends = new Int32Array(to - from);
    let position = from;
    let length = 0;
    return {
      step: (maxCodeUnits) => {
        const stop = Math.min(to, position + maxCodeUnits);
        while (position < stop) {
          const codePoint = text.codePointAt(position) as number;
          const end = position + (codePoint > 0xffff ? 2 : 1);
          const id = this.lookUp(codePoint);
          if (id >= 0) {
            ids[length] = id;
            starts[length] = position;
            ends[length] = end;
            length += 1;
          } else if (id === MARK && length > 0 && ends[length - 1] === position) {
            ends[length - 1] = end;
          }
          position = end;
        }
        return position >= to;
      },
      units: () => ({
        length,
        ids: ids.subarray(0, length),
        starts: starts.subarray(0, length),
        ends: ends.subarray(0, length),
      }),
    };
  }

  private lookUp(codePoint: number): number {
    const number = codePoint >> PAGE_BITS;
    let page = this.pages[number];
    if (page === undefined) {
      page = new Int32Array(PAGE_SIZE).fill(UNSEEN);
      this.pages[number] = page;
    }
    const place = codePoint & (PAGE_SIZE - 1);
    if (page[place] === UNSEEN) page[place] = this.resolve(codePoint);
    return page[place];
  }

  private resolve(codePoint: number): number {
    const kind = kindOf(codePoint);
    if (kind !== KIND.kept) return kind === KIND.mark ? MARK : SKIP;
    const key = normalizeCodePoint(codePoint);
    return (key === undefined ? undefined : this.vocab.idOf(key)) ?? this.vocab.unkId;
  }
}
