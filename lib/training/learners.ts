/**
 * The two ways a tagger learns, behind one interface: its head alone, on features of the frozen encoder that are
 * computed once; or head and encoder together.
 */

import { AlbertNerError } from '../errors.js';
import { type EntityReport, EntityScorer } from '../evaluation/entity-f1.js';
import type { Tagger } from '../model/tagger.js';
import type {
  NativeFeatureStore,
  NativeLearningRates,
  NativeSession,
  NativeTrainResult,
} from '../native/binding.js';
import { loadNative } from '../native/load.js';
import { createRandom, mixSeed } from '../random.js';
import type { CheckpointParts } from './checkpoint-file.js';
import { DevSet, extractExamples } from './feature-sets.js';
import type { PreparedCorpus, PreparedExample, PreparedRun } from './prepare.js';

export interface StepSettings {
  learningRates: NativeLearningRates;
  seed: number;
}

export interface Learner {
  /** What must be computed before the first step. */
  prepare(): Promise<void>;
  /** One step on these examples of the run. */
  step(batch: Int32Array, settings: StepSettings): Promise<NativeTrainResult>;
  /** Strict scores on the dev part of each corpus that has one, on the labels it annotates. */
  devReports(): Promise<Map<string, EntityReport>>;
  /** The tensors that change, for a checkpoint. */
  changingTensors(): Promise<CheckpointParts>;
  close(): Promise<void>;
}

export interface LearnerContext {
  prepared: PreparedRun;
  session: NativeSession;
  tagger: Tagger;
  signal?: AbortSignal;
  onExtract: (done: number, total: number) => void;
}

/** Tags of a batch, and the open tags of its sequences when one of their corpora is partly annotated. */
function annotationOf(
  examples: readonly PreparedExample[],
  corpora: readonly PreparedCorpus[],
  tagCount: number,
): { tags: Int32Array; openTags?: Uint8Array } {
  const tags = concatenate(examples.map((example) => example.tags)); // [N]
  if (examples.every(({ corpus }) => corpora[corpus].openTags === null)) return { tags };
  const openTags = new Uint8Array(examples.length * tagCount); // [B*K]
  examples.forEach(({ corpus }, index) => {
    const open = corpora[corpus].openTags;
    if (open) openTags.set(open, index * tagCount);
  });
  return { tags, openTags };
}

function concatenate(parts: readonly Int32Array[]): Int32Array {
  const whole = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}

export class HeadLearner implements Learner {
  private readonly context: LearnerContext;
  /** Features of the examples; dev features follow in a store of each corpus. */
  private readonly stores: NativeFeatureStore[] = [];
  private readonly dev: { name: string; labels: string[]; set: DevSet }[] = [];
  private readonly openFile: (name: string) => string;
  /** Repeated examples share their features. */
  private readonly sequenceOf: Int32Array;
  private readonly distinct: PreparedExample[];

  /** `featureFile` names the file of a store; it is deleted on close. */
  constructor(context: LearnerContext, featureFile: (name: string) => string) {
    this.context = context;
    this.openFile = featureFile;
    const numbers = new Map<Int32Array, number>();
    this.distinct = context.prepared.examples.filter(({ ids }) => {
      if (numbers.has(ids)) return false;
      numbers.set(ids, numbers.size);
      return true;
    });
    this.sequenceOf = Int32Array.from(context.prepared.examples, ({ ids }) => numbers.get(ids) as number);
  }

  async prepare(): Promise<void> {
    const { prepared, session, tagger, signal, onExtract } = this.context;
    const withDev = prepared.corpora.filter(({ dev }) => dev.length > 0);
    const total = withDev.reduce((sum, { dev }) => sum + dev.length, this.distinct.length);
    let done = 0;
    const extraction = {
      addon: loadNative(),
      session,
      signal,
      onProgress: (added: number) => {
        done += added;
        onExtract(done, total);
      },
    };
    await extractExamples(await this.openStore('train'), this.distinct, extraction);
    for (const [number, { name, dev, labels }] of withDev.entries()) {
      const store = await this.openStore(`dev-${number}`);
      const set = await DevSet.extract(store, dev, tagger, extraction);
      this.dev.push({ name, labels, set });
    }
  }

  private async openStore(part: string): Promise<NativeFeatureStore> {
    const store = await this.context.session.createFeatureStore(this.openFile(part));
    this.stores.push(store);
    return store;
  }

  step(batch: Int32Array, settings: StepSettings): Promise<NativeTrainResult> {
    const { prepared, session } = this.context;
    const examples = Array.from(batch, (index) => prepared.examples[index]);
    return session.trainStep({
      features: this.stores[0],
      sequences: batch.map((index) => this.sequenceOf[index]),
      ...annotationOf(examples, prepared.corpora, prepared.tagSet.size),
      ...settings,
    });
  }

  async devReports(): Promise<Map<string, EntityReport>> {
    const { session, prepared } = this.context;
    const reports = new Map<string, EntityReport>();
    for (const { name, labels, set } of this.dev) {
      reports.set(name, await set.evaluate(session, prepared.tagSet.labels, labels));
    }
    return reports;
  }

  async changingTensors(): Promise<CheckpointParts> {
    const { session } = this.context;
    return { head: await session.exportTensors('head'), optimizer: await session.exportTensors('optimizer') };
  }

  async close(): Promise<void> {
    for (const store of this.stores) await this.context.session.closeFeatureStore(store);
  }
}

export class FineTuner implements Learner {
  private readonly context: LearnerContext;

  constructor(context: LearnerContext) {
    this.context = context;
  }

  async prepare(): Promise<void> {}

  step(batch: Int32Array, settings: StepSettings): Promise<NativeTrainResult> {
    const { prepared, session } = this.context;
    const { wordDropout, encoderDropout } = prepared.config.train;
    const examples = Array.from(batch, (index) => prepared.examples[index]);
    const ids = concatenate(examples.map((example) => example.ids)); // [N]
    if (wordDropout > 0) {
      const random = createRandom(mixSeed(settings.seed, 1));
      const { unkId } = prepared.encoder.vocab;
      for (let unit = 0; unit < ids.length; unit += 1) if (random.next() < wordDropout) ids[unit] = unkId;
    }
    const offsets = new Int32Array(examples.length + 1); // [B+1]
    examples.forEach((example, index) => {
      offsets[index + 1] = offsets[index] + example.ids.length;
    });
    return session.fineTuneStep({
      ids,
      offsets,
      ...annotationOf(examples, prepared.corpora, prepared.tagSet.size),
      ...settings,
      encoderDropout,
    });
  }

  async devReports(): Promise<Map<string, EntityReport>> {
    const { prepared, tagger, signal } = this.context;
    const reports = new Map<string, EntityReport>();
    for (const { name, dev, labels } of prepared.corpora) {
      if (dev.length === 0) continue;
      const { predictions } = await tagger.tag(
        dev.map(({ text }) => text),
        { signal },
      );
      const scorer = new EntityScorer(labels);
      dev.forEach(({ spans }, index) => {
        scorer.add(spans, predictions[index].entities);
      });
      reports.set(name, scorer.report());
    }
    return reports;
  }

  async changingTensors(): Promise<CheckpointParts> {
    const { session } = this.context;
    return {
      encoder: await session.exportTensors('encoder'),
      head: await session.exportTensors('head'),
      optimizer: await session.exportTensors('optimizer'),
    };
  }

  async close(): Promise<void> {}
}

/** Word dropout has no meaning for features that are computed once. */
export function checkLearnable({ config: { train } }: PreparedRun): void {
  if (train.tunedLayers > 0 || train.wordDropout === 0) return;
  throw new AlbertNerError(
    'ERR_INVALID_CONFIG',
    'Expected finetune: full or top-k with word_dropout, since the features of a frozen encoder are computed once, ' +
      'but received none',
    { details: { option: 'train.word_dropout' } },
  );
}
