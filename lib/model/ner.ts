/**
 * AlbertNer: the public class that loads a model directory and finds entities in text. Validation of the caller's
 * arguments and the life of the session belong here; the work is in tagger.ts and the addon.
 */

import { AlbertNerError } from '../errors.js';
import type { NativeSession } from '../native/binding.js';
import { invalidArgument } from '../validate.js';
import { throwIfAborted } from './cancellation.js';
import { DEFAULT_MODEL, type LoadOptions, loadModel } from './load-model.js';
import type { ModelDescription } from './model-directory.js';
import { endable, iteratorOf, orderedStream } from './ordered-stream.js';
import type { Prediction } from './packing.js';
import type { Tagger } from './tagger.js';

const DEFAULT_CONCURRENCY = 16;

export interface PredictOptions {
  /** Aborts with ERR_ABORTED: before queueing, in the queue, or between batches of a running call. */
  signal?: AbortSignal;
  /** Leave out entities whose score is lower; in [0, 1], default 0. */
  minScore?: number;
}

export interface PredictStreamOptions extends PredictOptions {
  /** Texts in flight at once; at least 1, default 16. The source is read no further ahead. */
  concurrency?: number;
}

/**
 * A loaded model. Any number of calls may be in flight at once; they run in order on the model's own thread and the
 * event loop never waits for them.
 */
export class AlbertNer {
  /** The content of the model directory's model.json. */
  readonly description: ModelDescription;
  private readonly session: NativeSession;
  private readonly tagger: Tagger;
  private disposal: Promise<void> | undefined;

  private constructor(description: ModelDescription, session: NativeSession, tagger: Tagger) {
    this.description = description;
    this.session = session;
    this.tagger = tagger;
  }

  /**
   * Loads a model directory, or the model that ships with the package.
   *
   * Rejects with ERR_MODEL_NOT_FOUND, ERR_CHECKPOINT_UNREADABLE, ERR_CHECKPOINT_MISMATCH, ERR_LABELS_MISMATCH,
   * ERR_DEVICE_UNAVAILABLE, ERR_NATIVE_NOT_FOUND, ERR_NATIVE_VERSION or ERR_INVALID_ARGUMENT.
   */
  static async load(directory: string = DEFAULT_MODEL, options: LoadOptions = {}): Promise<AlbertNer> {
    if (typeof directory !== 'string' || directory === '') {
      throw invalidArgument('directory', 'a path', directory);
    }
    checkOptions(options, ['device', 'threads']);
    const { description, session, tagger } = await loadModel(directory, options);
    return new AlbertNer(description, session, tagger);
  }

  /** Label names, in the model's order. */
  get labels(): readonly string[] {
    return this.description.labels;
  }

  /** Where the model runs: "cpu" or "cuda:N". */
  get device(): string {
    return this.session.device;
  }

  /**
   * Finds the entities of a text, or of each text of a list.
   *
   * Offsets are UTF-16 code units: `text.slice(entity.start, entity.end) === entity.text`, for every input. Nothing
   * is truncated; a long text takes several windows. Rejects with ERR_INVALID_ARGUMENT, ERR_ABORTED, ERR_DISPOSED
   * or ERR_OUT_OF_MEMORY.
   */
  predict(text: string, options?: PredictOptions): Promise<Prediction>;
  predict(texts: readonly string[], options?: PredictOptions): Promise<Prediction[]>;
  async predict(
    input: string | readonly string[],
    options: PredictOptions = {},
  ): Promise<Prediction | Prediction[]> {
    checkOptions(options, ['signal', 'minScore']);
    const minScore = checkedMinScore(options.minScore);
    throwIfAborted(options.signal);
    const texts = checkedTexts(input);
    this.throwIfDisposed();
    const { predictions } = await this.tagger.tag(texts, { signal: options.signal, minScore });
    return typeof input === 'string' ? predictions[0] : predictions;
  }

  /**
   * Predicts text after text of a source, in its order, with back-pressure: the source is read no further than
   * `concurrency` texts ahead. A prediction comes as soon as it and all before it are ready, also while the source waits
   * for its next text; an error of the source comes after the predictions of its texts. Leaving the loop early aborts what
   * is in flight and closes the source, but doesn't wait for one that waits itself; `signal` ends the stream at once.
   */
  predictStream(
    source: Iterable<string> | AsyncIterable<string>,
    options: PredictStreamOptions = {},
  ): AsyncGenerator<Prediction, void, undefined> {
    return endable((leaving) => this.predictions(source, options, leaving));
  }

  private async *predictions(
    source: Iterable<string> | AsyncIterable<string>,
    options: PredictStreamOptions,
    leaving: AbortController,
  ): AsyncGenerator<Prediction, void, undefined> {
    checkOptions(options, ['signal', 'minScore', 'concurrency']);
    const { concurrency = DEFAULT_CONCURRENCY, minScore, signal } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1)
      throw invalidArgument('concurrency', 'an integer >= 1', concurrency);
    checkedMinScore(minScore);
    throwIfAborted(signal);
    yield* orderedStream(iteratorOf(source), {
      concurrency,
      signal,
      leaving,
      work: (text, left) => this.predict(text, { minScore, signal: left }),
    });
  }

  /**
   * Frees the model. Queued calls reject with ERR_DISPOSED, the running one finishes; later calls reject.
   * Idempotent.
   */
  dispose(): Promise<void> {
    this.disposal ??= this.session.dispose();
    return this.disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  private throwIfDisposed(): void {
    if (this.disposal) throw new AlbertNerError('ERR_DISPOSED', 'The model was disposed of; load it again');
  }
}

/** A copy, so that a caller may change its array at once. */
function checkedTexts(input: string | readonly string[]): string[] {
  if (typeof input === 'string') return [input];
  if (!Array.isArray(input)) throw invalidArgument('text', 'a string or an array of strings', input);
  const texts: unknown[] = Array.from(input);
  const index = texts.findIndex((text) => typeof text !== 'string');
  if (index >= 0) throw invalidArgument(`texts[${index}]`, 'a string', texts[index]);
  return texts as string[];
}

function checkedMinScore(minScore: number | undefined): number {
  if (minScore === undefined) return 0;
  if (typeof minScore !== 'number' || !(minScore >= 0 && minScore <= 1)) {
    throw invalidArgument('minScore', 'a number in [0, 1]', minScore);
  }
  return minScore;
}

function checkOptions(options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) throw invalidArgument('options', 'an object', options);
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw invalidArgument('options', `only ${known.join(', ')}`, name);
  }
}
