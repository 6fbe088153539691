/**
 * Texts to entities on a loaded session: tokenises, packs, calls the addon and unpacks, in groups of bounded size.
 * Prediction, evaluation and training all tag through here. Owns no session: whoever made it disposes of it.
 */

import type { NativeAddon, NativeSession } from '../native/binding.js';
import { Tokenizer } from '../text/tokenizer.js';
import type { Vocab } from '../text/vocab.js';
import { throwIfAborted, withCancelToken } from './cancellation.js';
import {
  type Prediction,
  packTexts,
  type TextOptions,
  type TokenizedText,
  tokenizeText,
  unpackPredictions,
} from './packing.js';
import { TimeSlice } from './time-slice.js';

/**
 * Units per native call. Enough to fill equal-length attention runs; small enough that progress, cancellation and
 * other callers of the same session wait for about a second at most with a base-size encoder.
 */
const UNITS_PER_CALL = 4096;
/** Blank texts have no units, but each a prediction. */
const TEXTS_PER_CALL = 4096;

/** Calls in flight: while one runs, the next is prepared. */
const CALLS_IN_FLIGHT = 2;

export interface TaggerParts {
  addon: NativeAddon;
  session: NativeSession;
  vocab: Vocab;
  /** Label names by the index given to the addon. */
  labels: readonly string[];
  text: TextOptions;
}

export interface TagOptions {
  signal?: AbortSignal;
  /** Entities with a lower score are left out. Default 0. */
  minScore?: number;
  /** Called after each native call with the texts finished so far. */
  onProgress?: (finishedTexts: number) => void;
}

/** What tagging a list of texts gives; `units` counts what the encoder saw. */
export interface TaggedTexts {
  predictions: Prediction[];
  units: number;
}

export class Tagger {
  readonly tokenizer: Tokenizer;
  private readonly parts: TaggerParts;

  constructor(parts: TaggerParts) {
    this.parts = parts;
    this.tokenizer = new Tokenizer(parts.vocab);
  }

  /** Predictions in the order of the texts. Rejects with the addon's error or ERR_ABORTED. */
  async tag(texts: readonly string[], options: TagOptions = {}): Promise<TaggedTexts> {
    const calls: Promise<Prediction[]>[] = [];
    const predictions: Prediction[] = [];
    let units = 0;
    const collectOldest = async () => {
      for (const prediction of await (calls.shift() as Promise<Prediction[]>)) predictions.push(prediction);
      options.onProgress?.(predictions.length);
    };
    try {
      for await (const group of this.tokenizedGroups(texts, options.signal)) {
        if (calls.length === CALLS_IN_FLIGHT) await collectOldest();
        units += group.reduce((sum, text) => sum + text.unitCount, 0);
        calls.push(this.tagGroup(group, options));
      }
      while (calls.length > 0) await collectOldest();
    } finally {
      // After a failure the calls still in flight settle unheard.
      for (const call of calls) call.catch(() => {});
    }
    return { predictions, units };
  }

  /** Groups of whole texts with about UNITS_PER_CALL units each, and at most TEXTS_PER_CALL texts. */
  async *tokenizedGroups(texts: readonly string[], signal?: AbortSignal): AsyncGenerator<TokenizedText[]> {
    const slice = new TimeSlice();
    let group: TokenizedText[] = [];
    let units = 0;
    for (const text of texts) {
      throwIfAborted(signal);
      const tokenized = await tokenizeText(text, this.tokenizer, this.parts.text, slice);
      group.push(tokenized);
      units += tokenized.unitCount;
      if (units >= UNITS_PER_CALL || group.length === TEXTS_PER_CALL) {
        yield group;
        group = [];
        units = 0;
      }
    }
    if (group.length > 0) yield group;
  }

  private async tagGroup(
    group: TokenizedText[],
    { signal, minScore = 0 }: TagOptions,
  ): Promise<Prediction[]> {
    const { addon, session, labels } = this.parts;
    const request = packTexts(group);
    if (request.ids.length === 0) return group.map(() => ({ entities: [], windows: 0 }));
    const result = await withCancelToken(addon, signal, (token) => session.tag(request, token));
    return unpackPredictions(group, result, { labels, minScore });
  }
}
