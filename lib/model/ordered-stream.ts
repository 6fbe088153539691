/**
 * Asynchronous work on item after item of a source: several at once, results in the source's order, each as soon as it and all
 * before it are there, also while the source is waiting for its next item. Knows nothing of what the work is.
 */

import { invalidArgument } from '../validate.js';
import { onAbort, throwIfAborted } from './cancellation.js';

export interface OrderedStreamOptions<T, R> {
  /** Items in work or waiting for their turn; the source is read no further ahead. */
  concurrency: number;
  /** Ends the stream at once with ERR_ABORTED, whatever it waits for. */
  signal?: AbortSignal;
  /** `signal` of the work aborts when the stream is left or fails. */
  work: (item: T, signal: AbortSignal) => Promise<R>;
  /** Aborting it ends the stream without an error; see `endable`. */
  leaving?: AbortController;
}

/**
 * A generator that can be ended while a next() waits. Its own return() and throw() wait for that next(), and so for a source
 * that may stay idle: what destroys a stream made of the generator would wait for ever.
 */
export function endable<R>(
  start: (leaving: AbortController) => AsyncGenerator<R, void, undefined>,
): AsyncGenerator<R, void, undefined> {
  const leaving = new AbortController();
  const generator = start(leaving);
  const [end, fail] = [generator.return.bind(generator), generator.throw.bind(generator)];
  generator.return = (value) => {
    leaving.abort();
    return end(value);
  };
  generator.throw = (error) => {
    leaving.abort();
    return fail(error);
  };
  return generator;
}

/** Either kind of iterator. */
type Source<T> = Iterable<T> | AsyncIterable<T>;
type AnyIterator<T> = Iterator<T> | AsyncIterator<T>;

/** Throws ERR_INVALID_ARGUMENT for what can't be iterated; a string, whose items are single characters, is a slip, too. */
export function iteratorOf<T>(source: Source<T>): AnyIterator<T> {
  const { [Symbol.asyncIterator]: async, [Symbol.iterator]: sync } = Object(source) as Partial<
    AsyncIterable<T> & Iterable<T>
  >;
  const start = async ?? sync;
  if (typeof source === 'string' || typeof start !== 'function') {
    throw invalidArgument('source', 'an iterable of strings', source);
  }
  return (start as (this: Source<T>) => AnyIterator<T>).call(source);
}

/** The work on an item: still going on, or done with either of these. */
interface Task<R> {
  outcome?: { value: R } | { error: unknown };
}

/**
 * The results of a source's items. An error of the source comes after the results of what it gave before; an error of the work in
 * its item's place. Leaving early closes the source.
 */
export async function* orderedStream<T, R>(
  iterator: AnyIterator<T>,
  { concurrency, signal, work, leaving = new AbortController() }: OrderedStreamOptions<T, R>,
): AsyncGenerator<R, void, undefined> {
  const tasks: Task<R>[] = [];
  let isAsking = false;
  /** What the source ended with. */
  let end: { error?: unknown } | undefined;
  let notify = () => {};

  const run = async (item: T): Promise<void> => {
    const task: Task<R> = {};
    tasks.push(task);
    try {
      task.outcome = { value: await work(item, leaving.signal) };
    } catch (error) {
      task.outcome = { error };
    }
    notify();
  };
  const ask = async (): Promise<void> => {
    isAsking = true;
    try {
      const { done, value } = await iterator.next();
      if (done) end = {};
      // A source that isn't asynchronous may give promises. What comes after the stream was left starts no work.
      else if (!leaving.signal.aborted) void run(await value);
    } catch (error) {
      end = { error };
    }
    isAsking = false;
    notify();
  };
  const forget = signal && onAbort(signal, () => notify());
  leaving.signal.addEventListener('abort', () => notify(), { once: true });
  let hasFailed = false;
  try {
    for (;;) {
      throwIfAborted(signal);
      if (leaving.signal.aborted) return;
      if (end === undefined && !isAsking && tasks.length < concurrency) void ask();
      const outcome = tasks[0]?.outcome;
      if (outcome !== undefined) {
        tasks.shift();
        if ('error' in outcome) throw outcome.error;
        yield outcome.value;
      } else if (end !== undefined && tasks.length === 0) {
        break;
      } else {
        await new Promise<void>((resolve) => {
          notify = resolve;
        });
      }
    }
    if (end !== undefined && 'error' in end) throw end.error;
  } catch (error) {
    hasFailed = true;
    throw error;
  } finally {
    forget?.();
    leaving.abort();
    if (end === undefined) await close(iterator, { isAsking, hasFailed });
  }
}

/** A source that is still asked for an item may never answer: its end isn't waited for. The first error is the one to tell. */
async function close<T>(
  iterator: AnyIterator<T>,
  { isAsking, hasFailed }: { isAsking: boolean; hasFailed: boolean },
): Promise<void> {
  const closing = (async () => iterator.return?.())();
  const closed = isAsking || hasFailed ? closing.catch(() => {}) : closing;
  if (!isAsking) await closed;
}
