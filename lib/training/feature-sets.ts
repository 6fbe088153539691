/**
 * The encoder's output for the training and dev sentences, computed once per run and read from the feature store in
 * every epoch: with a frozen encoder it never changes.
 */

import type { Example } from '../data/examples.js';
import type { LabelledSentence } from '../data/sentences.js';
import { type EntityReport, EntityScorer } from '../evaluation/entity-f1.js';
import { withCancelToken } from '../model/cancellation.js';
import { packTexts, type TokenizedText, unpackPredictions } from '../model/packing.js';
import type { Tagger } from '../model/tagger.js';
import type { NativeAddon, NativeFeatureStore, NativeSession } from '../native/binding.js';

/** Sequences per extraction call; the encoder cuts it further by its own token budget. */
const SEQUENCES_PER_CALL = 128;

export interface ExtractionContext {
  addon: NativeAddon;
  session: NativeSession;
  signal?: AbortSignal;
  /** Called with the number of sequences added since the last call. */
  onProgress: (added: number) => void;
}

/** Appends the features of every example to the store, in order. */
export async function extractExamples(
  store: NativeFeatureStore,
  examples: readonly Example[],
  { addon, session, signal, onProgress }: ExtractionContext,
): Promise<void> {
  for (let first = 0; first < examples.length; first += SEQUENCES_PER_CALL) {
    const part = examples.slice(first, first + SEQUENCES_PER_CALL);
    const batch = packIds(part.map((example) => example.ids));
    await withCancelToken(addon, signal, (token) => session.appendFeatures(store, batch, token));
    onProgress(part.length);
  }
}

/** Sequences one after the other. */
export function packIds(sequences: readonly Int32Array[]): { ids: Int32Array; offsets: Int32Array } {
  const offsets = new Int32Array(sequences.length + 1); // [B+1]
  sequences.forEach((ids, index) => {
    offsets[index + 1] = offsets[index] + ids.length;
  });
  const ids = new Int32Array(offsets[sequences.length]); // [N]
  sequences.forEach((sequence, index) => {
    ids.set(sequence, offsets[index]);
  });
  return { ids, offsets };
}

interface DevGroup {
  texts: TokenizedText[];
  sentences: readonly LabelledSentence[];
  /** [B] sequences of the store that hold the group's windows. */
  sequences: Int32Array;
  keep: Int32Array | undefined;
  sequenceOffsets: Int32Array | undefined;
}

/** The dev sentences with their features: whole sentences, whatever their length, scored from the store. */
export class DevSet {
  private readonly groups: DevGroup[] = [];
  private readonly store: NativeFeatureStore;

  private constructor(store: NativeFeatureStore) {
    this.store = store;
  }

  static async extract(
    store: NativeFeatureStore,
    sentences: readonly LabelledSentence[],
    tagger: Tagger,
    { addon, session, signal, onProgress }: ExtractionContext,
  ): Promise<DevSet> {
    const set = new DevSet(store);
    const texts = sentences.map((sentence) => sentence.text);
    let sentence = 0;
    let sequence = store.sequenceCount;
    for await (const group of tagger.tokenizedGroups(texts, signal)) {
      const { ids, offsets, keep, sequenceOffsets } = packTexts(group);
      const windowCount = offsets.length - 1;
      await withCancelToken(addon, signal, (token) => session.appendFeatures(store, { ids, offsets }, token));
      set.groups.push({
        texts: group,
        sentences: sentences.slice(sentence, sentence + group.length),
        sequences: Int32Array.from({ length: windowCount }, (_, window) => sequence + window),
        keep,
        sequenceOffsets,
      });
      sentence += group.length;
      sequence += windowCount;
      onProgress(group.length);
    }
    return set;
  }

  /** Strict scores of the session's present head with these labels, on some of them. */
  async evaluate(
    session: NativeSession,
    labels: readonly string[],
    scored: readonly string[],
  ): Promise<EntityReport> {
    const scorer = new EntityScorer(scored);
    for (const { texts, sentences, sequences, keep, sequenceOffsets } of this.groups) {
      const result = await session.tagFeatures({ features: this.store, sequences, keep, sequenceOffsets });
      const predictions = unpackPredictions(texts, result, { labels, minScore: 0 });
      sentences.forEach((sentence, index) => {
        scorer.add(sentence.spans, predictions[index].entities);
      });
    }
    return scorer.report();
  }
}
