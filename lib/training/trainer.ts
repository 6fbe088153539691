/**
 * The training loop: batches, optimizer steps, evaluation on dev, best model and last checkpoint.
 *
 * A run is exactly repeatable and resumable on CPU: batches come from (seed, epoch), dropout from (seed, step), so a
 * resumed run needs no generator state. The order of writes matters: the best model is published before the last
 * checkpoint that says so; a kill in between only repeats the steps since the checkpoint before.
 */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Precision } from '../config/schema.js';
import { countBatches, planBatches } from '../data/batches.js';
import { AlbertNerError } from '../errors.js';
import type { EntityReport } from '../evaluation/entity-f1.js';
import { evaluateSentences } from '../evaluation/evaluate.js';
import { throwIfAborted } from '../model/cancellation.js';
import { loadModel, openSession } from '../model/load-model.js';
import { modelCard } from '../model/model-card.js';
import { replaceScores } from '../model/model-directory.js';
import { nativeEncoderConfig, nativeHeadConfig, resolvePrecision } from '../model/native-config.js';
import { Tagger } from '../model/tagger.js';
import type { NativeSession } from '../native/binding.js';
import { loadNative } from '../native/load.js';
import { fitText, type TextParts } from '../pretraining/fit-text.js';
import { listTextFiles } from '../pretraining/text-files.js';
import { TokenStore } from '../pretraining/token-store.js';
import { mixSeed } from '../random.js';
import { checkSameRun } from './checkpoint-file.js';
import type { TrainingEvent, TrainingListener } from './events.js';
import { packIds } from './feature-sets.js';
import { checkLearnable, FineTuner, HeadLearner, type Learner } from './learners.js';
import { type PreparedRun, prepareRun, type RunInputs } from './prepare.js';
import { headOf, publishModel } from './publish.js';
import { learningRateFactor } from './schedule.js';
import { loadTrainingState, newTrainingState, saveTrainingState, type TrainingState } from './state.js';
import { WeightAverage } from './weight-average.js';

/** Streams of random numbers derived from the run's seed. */
const SEED_STREAM = { head: 1, batches: 2, dropout: 3, ngrams: 4 } as const;

export interface TrainOptions extends RunInputs {
  /** Model directory to write; its `training` folder holds the last checkpoint and the features of a running run. */
  output: string;
  /** Continue from the last checkpoint in `output`. */
  resume?: boolean;
  /** Stop after this many epochs of the run, saving the checkpoint: the rest can be resumed later. */
  stopAfterEpochs?: number;
  /** On abort the last checkpoint is saved and the promise rejects with ERR_ABORTED. */
  signal?: AbortSignal;
  onEvent?: TrainingListener;
}

export interface TrainResult {
  /** The model directory. */
  directory: string;
  /** Scores of the saved model on the dev part of each corpus, by the very code `evaluate` runs. */
  reports: Record<string, EntityReport>;
  epochs: number;
  steps: number;
  /** The evaluation with the best dev F1: that of the saved model, unless the last one is kept. */
  best: TrainingState['best'];
}

/** Where a run in `output` keeps its own files; `tokens` is a folder of the text for n-grams as ids. */
export function trainingFiles(output: string): {
  folder: string;
  last: string;
  metrics: string;
  config: string;
  tokens: string;
} {
  const folder = join(output, 'training');
  return {
    folder,
    last: join(folder, 'last.safetensors'),
    metrics: join(folder, 'metrics.jsonl'),
    config: join(folder, 'config.yml'),
    tokens: join(folder, 'tokens'),
  };
}

/**
 * Trains a tagger on a frozen encoder, or with it, and leaves the best or last model in `output`.
 *
 * Rejects with ERR_INVALID_CONFIG, ERR_INVALID_DATA (file and line), ERR_CHECKPOINT_*, ERR_MODEL_NOT_FOUND (resume
 * without a checkpoint), ERR_DEVICE_UNAVAILABLE, ERR_NATIVE_*, ERR_ABORTED.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const prepared = await prepareRun(options);
  checkLearnable(prepared);
  await mkdir(trainingFiles(options.output).folder, { recursive: true });
  const session = openSession({ device: options.config.device, threads: options.config.threads });
  const run = new TrainingRun(prepared, session, options);
  try {
    await run.start();
    await run.epochs();
  } finally {
    await run.close();
  }
  return run.result();
}

class TrainingRun {
  private readonly prepared: PreparedRun;
  private readonly session: NativeSession;
  private readonly options: TrainOptions;
  private readonly files: ReturnType<typeof trainingFiles>;
  private readonly lengths: Int32Array;
  private readonly learner: Learner;
  private state: TrainingState;
  /** [R]: empty without n-grams. */
  private ngramKeys: Int32Array = new Int32Array(0);
  private readonly totalSteps: number;
  private readonly average: WeightAverage;
  /** The encoder's, resolved for the session's device. */
  private readonly precision: Precision;

  constructor(prepared: PreparedRun, session: NativeSession, options: TrainOptions) {
    const { encoder, tagSet, text, examples, identity, config } = prepared;
    const { vocab } = encoder;
    this.prepared = prepared;
    this.session = session;
    this.options = options;
    this.files = trainingFiles(options.output);
    this.lengths = Int32Array.from(examples, ({ ids }) => ids.length);
    this.totalSteps = this.countSteps();
    this.average = new WeightAverage(session, {
      totalSteps: this.totalSteps,
      ratio: config.train.averageRatio,
    });
    const precision = resolvePrecision(config.train.precision, session.device);
    this.precision = config.train.tunedLayers > 0 ? precision : 'float32';
    this.state = newTrainingState({ ...identity, precision: this.precision });
    const tagger = new Tagger({ addon: loadNative(), session, vocab, labels: tagSet.labels, text });
    const onExtract = (done: number, total: number) =>
      this.emit({ type: 'progress', task: 'features', done, total });
    const context = { prepared, session, tagger, signal: options.signal, onExtract };
    this.learner =
      config.train.tunedLayers > 0
        ? new FineTuner(context)
        : new HeadLearner(context, (name) => join(this.files.folder, `features-${name}-${process.pid}.bin`));
  }

  private emit(event: TrainingEvent): void {
    this.options.onEvent?.(event);
  }

  /** Weights, optimizer and features: from the seed, or from the last checkpoint. */
  async start(): Promise<void> {
    const { config, encoder, tagSet, corpora, overlap, warnings, examples } = this.prepared;
    if (warnings.length > 0) this.emit({ type: 'warnings', warnings });
    this.emit({
      type: 'data',
      corpora: corpora.map(({ name, train, dev }) => ({ name, train: train.length, dev: dev.length })),
      overlap,
      sequences: examples.length,
      labels: [...tagSet.labels],
    });
    const saved = this.options.resume ? await loadTrainingState(this.files.last) : null;
    if (saved) checkSameRun(saved.state.identity, this.state.identity, this.files.last);
    const fineTuned = config.train.tunedLayers > 0;
    await this.session.loadEncoder(
      nativeEncoderConfig(encoder.config, encoder.vocab, config.layer, this.precision),
      saved && fineTuned ? saved.part('encoder') : encoder.weights,
    );
    await this.selectNgrams();
    const ngrams = { ngramKeys: this.ngramKeys, ngramDropout: config.ngrams.dropout };
    const head = nativeHeadConfig({ ...headOf(config), ...ngrams, tagSet }, encoder.config);
    if (saved) await this.session.loadHead(head, saved.part('head'));
    else {
      await this.session.initHead(head, mixSeed(config.seed, SEED_STREAM.head));
      await this.fitNgrams();
    }
    await this.initOptimizer();
    if (saved) {
      await this.session.loadOptimizer(saved.part('optimizer'));
      this.state = saved.state;
      const { averagedSteps: steps, globalStep: step } = this.state;
      await this.average.restore(saved.part('average'), { steps, step });
      this.emit({ type: 'resume', epoch: this.state.epoch, step: this.state.globalStep });
    }
    await this.learner.prepare();
  }

  /** From sentences that a resumed run shares, those of the corpora that count for it: no checkpoint needs the keys. */
  private async selectNgrams(): Promise<void> {
    const { config, examples } = this.prepared;
    const { size: count, minCount } = config.ngrams;
    if (count === 0) return;
    const corporaOfNgrams = config.train.corpora.map(({ ngrams }) => ngrams);
    const counted = examples.filter(({ corpus }) => corporaOfNgrams[corpus]);
    const batch = packIds(counted.map(({ ids }) => ids));
    this.ngramKeys = await this.session.selectNgrams({ ...batch, count, minCount });
  }

  /** To the training sentences and then the text; a resumed run has the table in its checkpoint and needs no text. */
  private async fitNgrams(): Promise<void> {
    const { config, encoder } = this.prepared;
    const { signal } = this.options;
    if (config.ngrams.size === 0 || config.ngrams.text.length === 0) return;
    const store = await TokenStore.open(this.files.tokens, {
      files: await listTextFiles(config.ngrams.text),
      vocab: encoder.vocab,
      signal,
      onProgress: (done, total) => this.emit({ type: 'progress', task: 'text', done, total }),
    });
    const own = packIds([...new Set(this.prepared.examples.map(({ ids }) => ids))]);
    const parts: TextParts = {
      shardCount: 1 + store.shardCount,
      shard: async (number) => (number === 0 ? own : store.shard(number - 1)),
    };
    await fitText(parts, (request, token) => this.session.fitNgrams(request, token), {
      passes: 1,
      seed: mixSeed(config.seed, SEED_STREAM.ngrams),
      signal,
      onProgress: (done, total) => this.emit({ type: 'progress', task: 'n-grams', done, total }),
    });
  }

  private async initOptimizer(): Promise<void> {
    const { config, encoder } = this.prepared;
    const { optimizer: kind, weightDecay, clipNorm, tunedLayers } = config.train;
    const encoderLayers = Math.min(tunedLayers, encoder.config.layerCount);
    const settings = { kind, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay, clipNorm, encoderLayers };
    await this.session.initOptimizer(encoderLayers > 0 ? 'tagger' : 'head', settings);
  }

  /** Steps of the whole run. */
  private countSteps(): number {
    const { train, batchSize } = this.prepared.config;
    const epochs = Array.from({ length: train.epochs }, (_, epoch) => epoch);
    return epochs.reduce(
      (sum, epoch) => sum + countBatches(this.lengths, this.examplesOf(epoch), batchSize),
      0,
    );
  }

  /** Deletes the feature files and frees the session. */
  async close(): Promise<void> {
    await this.learner.close();
    await this.session.dispose();
  }

  /** The remaining epochs, up to the configured number, the patience or `stopAfterEpochs`. */
  async epochs(): Promise<void> {
    const { train } = this.prepared.config;
    const lastEpoch = Math.min(train.epochs, this.options.stopAfterEpochs ?? train.epochs);
    if (this.state.evaluationDue) await this.evaluate();
    while (this.state.epoch < lastEpoch) {
      if (this.patienceIsOver()) {
        this.emit({ type: 'stop', reason: 'patience' });
        return;
      }
      await this.epoch();
    }
    this.emit({ type: 'stop', reason: lastEpoch < train.epochs ? 'stop-after' : 'finished' });
  }

  /** Indexes of the examples whose corpora take part in an epoch. */
  private examplesOf(epoch: number): Int32Array {
    const { examples, config } = this.prepared;
    const takesPart = config.train.corpora.map(({ epochs }) => epochs === null || epoch < epochs);
    return Int32Array.from(examples.keys()).filter((index) => takesPart[examples[index].corpus]);
  }

  private patienceIsOver(): boolean {
    const { patience } = this.prepared.config.train;
    return patience > 0 && this.state.evaluationsWithoutGain >= patience;
  }

  private async epoch(): Promise<void> {
    const { config } = this.prepared;
    const { batchSize, seed } = config;
    const batches = planBatches(this.lengths, {
      batchSize,
      seed: mixSeed(seed, SEED_STREAM.batches),
      epoch: this.state.epoch,
      chosen: this.examplesOf(this.state.epoch),
    });
    const startedMs = performance.now();
    let sentences = 0;
    while (this.state.stepInEpoch < batches.length) {
      if (this.options.signal?.aborted) {
        await this.saveLast();
        throwIfAborted(this.options.signal);
      }
      const batch = batches[this.state.stepInEpoch];
      await this.step(batch);
      sentences += batch.length;
      this.emit({
        type: 'step',
        epoch: this.state.epoch + 1,
        epochs: config.train.epochs,
        step: this.state.stepInEpoch,
        steps: batches.length,
        loss: this.state.lossSum / this.state.lossUnits,
        sentencesPerSecond: (1000 * sentences) / (performance.now() - startedMs),
      });
      const { evalEverySteps } = config.train;
      const epochEnds = this.state.stepInEpoch === batches.length;
      if (evalEverySteps > 0 && this.state.globalStep % evalEverySteps === 0 && !epochEnds)
        await this.evaluate();
    }
    await this.endEpoch((performance.now() - startedMs) / 1000);
  }

  private async endEpoch(seconds: number): Promise<void> {
    const { state } = this;
    const loss = state.lossSum / state.lossUnits;
    this.emit({ type: 'epoch', epoch: state.epoch + 1, step: state.globalStep, loss, seconds });
    this.state = { ...state, epoch: state.epoch + 1, stepInEpoch: 0, lossSum: 0, lossUnits: 0 };
    await this.evaluate();
  }

  private async step(batch: Int32Array): Promise<void> {
    const { config } = this.prepared;
    const { totalSteps } = this;
    const { warmupRatio, decay, learningRates } = config.train;
    const { globalStep } = this.state;
    const factor = learningRateFactor(globalStep, { totalSteps, warmupRatio, decay });
    const units = batch.reduce((sum, example) => sum + this.lengths[example], 0);
    const { loss } = await this.learner.step(batch, {
      learningRates: {
        encoder: learningRates.encoder * factor,
        bilstm: learningRates.bilstm * factor,
        ngrams: learningRates.ngrams * factor,
        classifier: learningRates.classifier * factor,
        crf: learningRates.crf * factor,
      },
      seed: mixSeed(config.seed, SEED_STREAM.dropout, globalStep),
    });
    this.state.lossSum += loss * units;
    this.state.lossUnits += units;
    this.state.stepInEpoch += 1;
    this.state.globalStep += 1;
    await this.average.add(this.state.globalStep);
  }

  /**
   * Scores dev, with the mean of weights where there is one, and publishes the model when it is the best so far: by
   * micro F1, with several corpora by the mean of theirs. Without dev every model is. Where the last model is the one
   * to keep, all are published. Then the checkpoint is saved: a run that dies repeats no step that was evaluated, and one
   * that is aborted meanwhile no step before it.
   */
  private async evaluate(): Promise<void> {
    this.state.evaluationDue = true;
    try {
      await this.average.use(() => this.scoreAndPublish());
      this.state.evaluationDue = false;
    } finally {
      if (!this.state.evaluationDue || this.options.signal?.aborted) await this.saveLast();
    }
  }

  private async scoreAndPublish(): Promise<void> {
    const { epoch, globalStep: step } = this.state;
    const reports = await this.learner.devReports();
    const scores = [...reports.values()].map(({ micro }) => micro.f1);
    const f1 = scores.reduce((sum, score) => sum + score, 0) / Math.max(scores.length, 1);
    const improved = scores.length === 0 || this.state.best === null || f1 > this.state.best.f1;
    this.state.evaluationsWithoutGain = improved ? 0 : this.state.evaluationsWithoutGain + 1;
    if (improved) this.state.best = { f1, epoch, step };
    if (improved || this.prepared.config.train.keep === 'last') await this.publish(reports);
    for (const [corpus, report] of reports) {
      this.emit({ type: 'evaluation', corpus, epoch, step, report, improved });
    }
  }

  private async publish(reports: ReadonlyMap<string, EntityReport>): Promise<void> {
    const { epoch, globalStep: step } = this.state;
    const encoder = await this.session.exportTensors('encoder');
    const head = await this.session.exportTensors('head');
    await publishModel(
      this.options.output,
      this.prepared,
      { encoder, head, ngramKeys: this.ngramKeys },
      { reports, epoch, step },
    );
  }

  private async saveLast(): Promise<void> {
    const parts = { ...(await this.learner.changingTensors()), ...(await this.average.tensors()) };
    const state = { ...this.state, averagedSteps: this.average.steps };
    await saveTrainingState(this.files.last, state, parts);
  }

  /**
   * Scores the saved model afresh, after close: what is reported, and what the model directory says of itself, is what
   * the stored weights do, in float32, whatever precision they were learnt in.
   */
  async result(): Promise<TrainResult> {
    const { output: directory, signal, config } = this.options;
    const { epoch, globalStep, best } = this.state;
    if (best === null) throw new AlbertNerError('ERR_INTERNAL', 'A run ended without any model');
    const reports: Record<string, EntityReport> = {};
    const withDev = this.prepared.corpora.filter(({ dev }) => dev.length > 0);
    if (withDev.length > 0) {
      const { description, session, tagger } = await loadModel(directory, config);
      try {
        for (const { name, dev, labels } of withDev) {
          const scored = { modelLabels: description.labels, labels, signal };
          reports[name] = (await evaluateSentences(tagger, dev, scored)).report;
        }
      } finally {
        await session.dispose();
      }
      await replaceScores(directory, reports, modelCard);
    }
    return { directory, reports, epochs: epoch, steps: globalStep, best };
  }
}
