/**
 * The endless stream of pretraining batches. A position in it is three numbers, and everything random is derived from
 * the seed and that position, so that a resumed run goes on with the very batch it would have had.
 */

import type { NativePretrainingBatch } from '../native/binding.js';
import { createRandom, mixSeed } from '../random.js';
import type { Vocab } from '../text/vocab.js';
import { maskUnits } from './masking.js';
import { type PlannedSequence, planSequences } from './sequences.js';
import type { TokenPart, TokenStore } from './token-store.js';

/** Streams of random numbers derived from the run's seed. */
const SEED_STREAM = { shards: 1, plan: 2, mask: 3, heldOut: 4 } as const;
const SENTENCE_ENDS = ['。', '！', '？', '；', '!', '?', ';', '…'];

export interface StreamPosition {
  /** Passes over the whole text. */
  epoch: number;
  /** Shards of this pass that are finished. */
  shard: number;
  /** Sequences of this shard that are used. */
  sequence: number;
}

export interface StreamOptions {
  vocab: Vocab;
  /** Units of a sequence, special tokens included. */
  maxLength: number;
  /** Units of a batch, special tokens included; the last of a shard may be smaller. */
  batchUnits: number;
  /** Share of the units to mask in training; held-out text always has that of the papers, to be comparable. */
  maskShare: number;
  seed: number;
}

const HELD_OUT_MASK_SHARE = 0.15;

export class BatchStream {
  /** Where the next batch begins. */
  position: StreamPosition;
  private readonly store: TokenStore;
  private readonly options: StreamOptions;
  private loaded: { name: string; part: TokenPart; plan: PlannedSequence[] } | null = null;

  constructor(store: TokenStore, options: StreamOptions, position?: StreamPosition) {
    this.store = store;
    this.options = options;
    this.position = position ?? { epoch: 0, shard: 0, sequence: 0 };
  }

  async next(): Promise<NativePretrainingBatch> {
    for (;;) {
      const { epoch, shard, sequence } = this.position;
      const { part, plan } = await this.load(epoch, shard);
      if (sequence < plan.length) {
        const { seed, maskShare: share } = this.options;
        const masking = { share, seedParts: [seed, SEED_STREAM.mask, epoch, shard] };
        const { batch, used } = this.fill(part, plan, sequence, masking);
        this.position = { epoch, shard, sequence: sequence + used };
        return batch;
      }
      const wraps = shard + 1 === this.store.shardCount;
      this.position = { epoch: wraps ? epoch + 1 : epoch, shard: wraps ? 0 : shard + 1, sequence: 0 };
    }
  }

  private async load(epoch: number, shard: number): Promise<{ part: TokenPart; plan: PlannedSequence[] }> {
    const name = `${epoch} ${shard}`;
    if (this.loaded?.name !== name) {
      const { seed } = this.options;
      const order = Array.from({ length: this.store.shardCount }, (_, number) => number);
      createRandom(mixSeed(seed, SEED_STREAM.shards, epoch)).shuffle(order);
      const part = await this.store.shard(order[shard]);
      const plan = this.plan(part, mixSeed(seed, SEED_STREAM.plan, epoch, shard));
      this.loaded = { name, part, plan };
    }
    return this.loaded;
  }

  private plan(part: TokenPart, seed: number): PlannedSequence[] {
    const { vocab, maxLength } = this.options;
    const ends = new Set(SENTENCE_ENDS.map((end) => vocab.idOf(end)));
    return planSequences(part, { maxLength, seed, endsSentence: (id) => ends.has(id) });
  }

  /** The held-out documents, cut and masked in one fixed way, in batches; at most `maxSequences`. */
  async heldOut(maxSequences: number): Promise<NativePretrainingBatch[]> {
    const part = await this.store.heldOut();
    const plan = this.plan(part, SEED_STREAM.heldOut).slice(0, maxSequences);
    const batches: NativePretrainingBatch[] = [];
    for (let sequence = 0; sequence < plan.length; ) {
      const { batch, used } = this.fill(part, plan, sequence, {
        share: HELD_OUT_MASK_SHARE,
        seedParts: [SEED_STREAM.heldOut],
      });
      batches.push(batch);
      sequence += used;
    }
    return batches;
  }

  /** A batch of the sequences from `first` on; masks depend on the seed parts and a sequence's number only. */
  private fill(
    part: TokenPart,
    plan: readonly PlannedSequence[],
    first: number,
    { share, seedParts }: { share: number; seedParts: readonly number[] },
  ): { batch: NativePretrainingBatch; used: number } {
    const { vocab, batchUnits } = this.options;
    const chosen: { sequence: PlannedSequence; number: number; length: number }[] = [];
    let units = 0;
    for (let number = first; number < plan.length; number += 1) {
      const sequence = plan[number];
      const length = sequence.end - sequence.start + (sequence.split < sequence.end ? 3 : 2);
      if (chosen.length > 0 && units + length > batchUnits) break;
      chosen.push({ sequence, number, length });
      units += length;
    }
    // Equal lengths side by side: the encoder's attention takes each stretch of them in one call.
    const sorted = chosen.toSorted((a, b) => b.length - a.length);
    const ids = new Int32Array(units); // [M]
    const types = new Int32Array(units); // [M]
    const maskedRows: number[] = [];
    const maskedIds: number[] = [];
    let row = 0;
    for (const { sequence, number } of sorted) {
      const first = row;
      row = writeSequence(part.ids, sequence, vocab, { ids, types, row });
      const original = ids.slice(first, row);
      const random = createRandom(mixSeed(...seedParts, number));
      for (const segment of segmentsOf(original, first, vocab.sepId)) {
        for (const place of maskUnits(ids, segment, { vocab, random, share })) {
          maskedRows.push(place);
          maskedIds.push(original[place - first]);
        }
      }
    }
    return {
      batch: {
        ids,
        types,
        lengths: Int32Array.from(sorted, ({ length }) => length),
        maskedRows: Int32Array.from(maskedRows),
        maskedIds: Int32Array.from(maskedIds),
        orderLabels: Int32Array.from(sorted, ({ sequence: { split, end, swapped } }) =>
          split < end ? Number(swapped) : -1,
        ),
      },
      used: chosen.length,
    };
  }
}

interface Target {
  ids: Int32Array;
  types: Int32Array;
  row: number;
}

/** Writes [CLS] A [SEP] B [SEP], or [CLS] A [SEP], from `row` on; returns the row after it. */
function writeSequence(
  source: Uint16Array,
  { start, split, end, swapped }: PlannedSequence,
  vocab: Vocab,
  { ids, types, row }: Target,
): number {
  const a = source.subarray(start, split);
  const b = source.subarray(split, end);
  const segments = (swapped ? [b, a] : [a, b]).filter(({ length }) => length > 0);
  let next = row;
  ids[next++] = vocab.clsId;
  for (const [type, segment] of segments.entries()) {
    ids.set(segment, next);
    types.fill(type, next, next + segment.length + 1);
    next += segment.length;
    ids[next++] = vocab.sepId;
  }
  return next;
}

/** The stretches between special tokens of a written sequence, as rows of the pack. */
function segmentsOf(written: Int32Array, first: number, sepId: number): { from: number; to: number }[] {
  const segments: { from: number; to: number }[] = [];
  let from = 1;
  for (let place = 1; place < written.length; place += 1) {
    if (written[place] !== sepId) continue;
    segments.push({ from: first + from, to: first + place });
    from = place + 1;
  }
  return segments;
}
