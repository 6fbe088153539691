/**
 * The pretraining loop: batches, optimizer steps, held-out scores, best encoder and last checkpoint. Repeatable and
 * resumable like training: everything random is derived from the seed and the position in the text.
 */

import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { EncoderConfig } from '../../albert/encoder-config.js';
import { type Config, type Precision, STORED_DTYPES } from '../config/schema.js';
import { throwIfAborted } from '../model/cancellation.js';
import { readEncoderFolder, writeEncoderFolder } from '../model/encoder-folder.js';
import { openSession } from '../model/load-model.js';
import { nativeEncoderConfig, resolvePrecision } from '../model/native-config.js';
import type { NativePretrainingBatch, NativePretrainingScores, NativeSession } from '../native/binding.js';
import { mixSeed } from '../random.js';
import type { Vocab } from '../text/vocab.js';
import { checkSameRun, loadCheckpoint, saveCheckpoint } from '../training/checkpoint-file.js';
import { trapezoidFactor } from '../training/schedule.js';
import { BatchStream } from './batches.js';
import type { PretrainingEvent, PretrainingFigures, PretrainingListener } from './events.js';
import { fitText } from './fit-text.js';
import {
  addScores,
  figuresOf,
  newPretrainingState,
  PRETRAINING_CHECKPOINT,
  type PretrainingState,
} from './state.js';
import { listTextFiles } from './text-files.js';
import { TokenStore } from './token-store.js';

const SEED_STREAM = { heads: 1, stream: 2, embeddings: 3 } as const;
const NO_SCORES: NativePretrainingScores = {
  maskedLoss: 0,
  maskedCount: 0,
  maskedCorrect: 0,
  orderLoss: 0,
  orderCount: 0,
  orderCorrect: 0,
  gradientNorm: 0,
};

export interface PretrainOptions {
  config: Config;
  /** Shape of the encoder; its vocabulary size is replaced by that of `vocab`. */
  encoderConfig: EncoderConfig;
  vocab: Vocab;
  /** Files and folders. */
  text: readonly string[];
  /** Encoder folder to write; its `training` folder holds the last checkpoint. */
  output: string;
  /** Folder of the text as ids; default inside `output`. */
  tokens?: string;
  /** Encoder folder to start from instead of random weights; with its pretraining heads when it has them. */
  from?: string;
  /** Continue from the last checkpoint in `output`. */
  resume?: boolean;
  /** Stop after this step of the run, saving the checkpoint. */
  stopAfter?: number;
  /** On abort the last checkpoint is saved and the promise rejects with ERR_ABORTED. */
  signal?: AbortSignal;
  onEvent?: PretrainingListener;
}

export interface PretrainResult {
  /** The encoder folder: the best on held-out text. */
  directory: string;
  steps: number;
  units: number;
  seconds: number;
  best: PretrainingState['best'];
}

/** Where a run in `output` keeps its own files. */
export function pretrainingFiles(output: string): {
  folder: string;
  last: string;
  metrics: string;
  config: string;
  page: string;
  tokens: string;
} {
  const folder = join(output, 'training');
  return {
    folder,
    last: join(folder, 'last.safetensors'),
    metrics: join(folder, 'metrics.jsonl'),
    config: join(folder, 'config.yml'),
    page: join(folder, 'report.html'),
    tokens: join(folder, 'tokens'),
  };
}

/**
 * Pretrains an encoder with the masked language model and sentence-order prediction.
 *
 * Rejects with ERR_INVALID_CONFIG, ERR_INVALID_DATA, ERR_CHECKPOINT_*, ERR_MODEL_NOT_FOUND, ERR_DEVICE_UNAVAILABLE,
 * ERR_NATIVE_*, ERR_ABORTED.
 */
export async function pretrain(options: PretrainOptions): Promise<PretrainResult> {
  const { config, vocab, output, signal, onEvent } = options;
  const files = pretrainingFiles(output);
  await mkdir(files.folder, { recursive: true });
  const store = await TokenStore.open(options.tokens ?? files.tokens, {
    files: await listTextFiles(options.text),
    vocab,
    signal,
    onProgress: (done, total) => onEvent?.({ type: 'progress', task: 'text', done, total }),
  });
  onEvent?.({
    type: 'data',
    units: store.units,
    shards: store.shardCount,
    heldOutUnits: store.index.heldOut.units,
    unknownShare: store.index.unknownUnits / (store.units + store.index.heldOut.units),
  });
  const session = openSession({ device: config.device, threads: config.threads });
  try {
    const run = new PretrainingRun(options, store, session);
    await run.start();
    return await run.steps();
  } finally {
    await session.dispose();
  }
}

class PretrainingRun {
  private readonly options: PretrainOptions;
  private readonly session: NativeSession;
  private readonly encoderConfig: EncoderConfig;
  private readonly files: ReturnType<typeof pretrainingFiles>;
  private readonly store: TokenStore;
  private readonly stream: BatchStream;
  private state: PretrainingState;
  /** Resolved for the session's device. */
  private readonly precision: Precision;
  private heldOut: NativePretrainingBatch[] = [];
  /** Since the last report. */
  private recent = { scores: NO_SCORES, units: 0, seconds: 0 };

  constructor(options: PretrainOptions, store: TokenStore, session: NativeSession) {
    const { config, vocab, encoderConfig, output } = options;
    this.options = options;
    this.session = session;
    this.store = store;
    this.encoderConfig = { ...encoderConfig, vocabSize: vocab.size };
    this.files = pretrainingFiles(output);
    this.stream = new BatchStream(store, {
      vocab,
      maxLength: config.pretrain.maxLength,
      batchUnits: config.pretrain.batchUnits,
      maskShare: config.pretrain.maskShare,
      seed: mixSeed(config.seed, SEED_STREAM.stream),
    });
    this.precision = resolvePrecision(config.pretrain.precision, session.device);
    this.state = newPretrainingState(this.identity(store));
  }

  /** What two runs must share to take the same steps; left out is how many, and how often they are scored and saved. */
  private identity(store: TokenStore): Record<string, unknown> {
    const { config, vocab } = this.options;
    const { steps, decaySteps, evalEvery, saveEvery, reportEvery, ...settings } = config.pretrain;
    return {
      encoder: this.encoderConfig,
      vocab: createHash('sha256').update(vocab.serialize()).digest('hex'),
      text: store.index.key,
      seed: config.seed,
      pretrain: { ...settings, precision: this.precision },
    };
  }

  private emit(event: PretrainingEvent): void {
    this.options.onEvent?.(event);
  }

  /** Weights and optimizer: from the seed, from another encoder, or from the last checkpoint. */
  async start(): Promise<void> {
    const { config, vocab, from, resume } = this.options;
    const native = nativeEncoderConfig(this.encoderConfig, vocab, -2, this.precision);
    const { optimizer: kind, beta2, weightDecay, clipNorm } = config.pretrain;
    const optimizer = { kind, beta1: 0.9, beta2, epsilon: 1e-6, weightDecay, clipNorm };
    if (resume) {
      const { state, part } = await loadCheckpoint<PretrainingState>(this.files.last, PRETRAINING_CHECKPOINT);
      checkSameRun(state.identity, this.state.identity, this.files.last);
      await this.session.loadEncoder(native, part('encoder'));
      await this.session.loadPretraining(part('pretraining'));
      await this.session.initOptimizer('pretraining', optimizer);
      await this.session.loadOptimizer(part('optimizer'));
      this.state = state;
      this.stream.position = state.position;
      this.emit({ type: 'resume', step: state.step });
    } else {
      await this.initWeights(native, from);
      await this.session.initOptimizer('pretraining', optimizer);
    }
    this.heldOut = await this.stream.heldOut(config.pretrain.heldOutSequences);
  }

  private async initWeights(native: ReturnType<typeof nativeEncoderConfig>, from?: string): Promise<void> {
    const { seed, pretrain } = this.options.config;
    const folder = from === undefined ? null : await readEncoderFolder(from);
    if (folder === null) {
      await this.session.initEncoder(native, seed, pretrain.attentionStart);
      await this.fitEmbeddings();
    } else await this.session.loadEncoder(native, folder.weights);
    if (folder?.pretrainingWeights) await this.session.loadPretraining(folder.pretrainingWeights);
    else await this.session.initPretraining(mixSeed(seed, SEED_STREAM.heads));
  }

  /** Word embeddings from the whole text before the first step: cheap, and the steps learn faster from them. */
  private async fitEmbeddings(): Promise<void> {
    const { config, signal } = this.options;
    const { embeddingPasses: passes } = config.pretrain;
    await fitText(this.store, (request, token) => this.session.fitEmbeddings(request, token), {
      passes,
      seed: mixSeed(config.seed, SEED_STREAM.embeddings),
      signal,
      onProgress: (done, total) => this.emit({ type: 'progress', task: 'embeddings', done, total }),
    });
  }

  async steps(): Promise<PretrainResult> {
    const { config, signal, stopAfter } = this.options;
    const { steps, evalEvery, saveEvery, reportEvery } = config.pretrain;
    const last = Math.min(steps, stopAfter ?? steps);
    let next = this.nextBatches();
    while (this.state.step < last) {
      if (signal?.aborted) {
        await next.catch(() => undefined);
        await this.save();
        throwIfAborted(signal);
      }
      const { batches, position } = await next;
      const running = this.step(batches);
      next = this.nextBatches();
      await running;
      this.state.position = position;
      const { step } = this.state;
      if (step % reportEvery === 0) this.report();
      if (step % evalEvery === 0 || step === last) await this.evaluate();
      if (step % saveEvery === 0 || step === last) await this.save();
    }
    await next;
    this.emit({ type: 'stop', reason: last < steps ? 'stop-after' : 'finished' });
    const { step, units, seconds, best } = this.state;
    return { directory: this.options.output, steps: step, units, seconds, best };
  }

  /** The batches of a step, and where the stream stands after them. */
  private async nextBatches(): Promise<{
    batches: NativePretrainingBatch[];
    position: PretrainingState['position'];
  }> {
    const batches: NativePretrainingBatch[] = [];
    while (batches.length < this.options.config.pretrain.accumulate) batches.push(await this.stream.next());
    return { batches, position: this.stream.position };
  }

  private learningRate(step: number): number {
    const { learningRate, steps, warmupSteps, decaySteps } = this.options.config.pretrain;
    return learningRate * trapezoidFactor(step, { totalSteps: steps, warmupSteps, decaySteps });
  }

  private async step(batches: readonly NativePretrainingBatch[]): Promise<void> {
    const started = performance.now();
    const learningRate = this.learningRate(this.state.step);
    const scores = await this.session.pretrainStep({ batches, learningRate });
    const units = batches.reduce((sum, { ids }) => sum + ids.length, 0);
    const seconds = (performance.now() - started) / 1000;
    this.state.step += 1;
    this.state.units += units;
    this.state.seconds += seconds;
    this.recent = {
      scores: addScores(this.recent.scores, scores),
      units: this.recent.units + units,
      seconds: this.recent.seconds + seconds,
    };
    this.emit({
      type: 'step',
      step: this.state.step,
      steps: this.options.config.pretrain.steps,
      maskedLoss: figuresOf(this.recent.scores).maskedLoss,
      unitsPerSecond: this.recent.units / this.recent.seconds,
    });
  }

  private report(): void {
    const { scores, units, seconds } = this.recent;
    this.emit({
      type: 'report',
      step: this.state.step,
      epoch: this.state.position.epoch,
      learningRate: this.learningRate(this.state.step - 1),
      gradientNorm: scores.gradientNorm,
      unitsPerSecond: units / seconds,
      ...figuresOf(scores),
    });
    this.recent = { scores: NO_SCORES, units: 0, seconds: 0 };
  }

  /** Scores the held-out text and publishes the encoder when it is the best so far. */
  private async evaluate(): Promise<void> {
    const figures = await this.heldOutFigures();
    const { step, units, seconds, best } = this.state;
    const improved = best === null || figures.maskedLoss < best.maskedLoss;
    if (improved) {
      this.state.best = { maskedLoss: figures.maskedLoss, step };
      await this.publish();
    }
    this.emit({ type: 'evaluation', step, units, seconds, improved, ...figures });
  }

  private async heldOutFigures(): Promise<PretrainingFigures> {
    let sum = NO_SCORES;
    for (const batch of this.heldOut) sum = addScores(sum, await this.session.pretrainScores(batch));
    return figuresOf(sum);
  }

  private async publish(): Promise<void> {
    const { config, output, vocab } = this.options;
    await writeEncoderFolder(output, {
      config: this.encoderConfig,
      vocab,
      tensors: await this.session.exportTensors('encoder'),
      pretrainingHeads: await this.session.exportTensors('pretraining'),
      dtype: STORED_DTYPES[config.storage],
    });
  }

  private async save(): Promise<void> {
    await saveCheckpoint(this.files.last, PRETRAINING_CHECKPOINT, this.state, {
      encoder: await this.session.exportTensors('encoder'),
      pretraining: await this.session.exportTensors('pretraining'),
      optimizer: await this.session.exportTensors('optimizer'),
    });
  }
}
