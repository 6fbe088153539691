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
  { concurrency, signal, work }: OrderedStreamOptions<T, R>,
): AsyncGenerator<R, void, undefined> {
  const leaving = new AbortController();
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
      else void run(value);
    } catch (error) {
      end = { error };
    }
    isAsking = false;
    notify();
  };
  const forget = signal && onAbort(signal, () => notify());
  try {
    for (;;) {
      throwIfAborted(signal);
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
  } finally {
    forget?.();
    leaving.abort();
    if (end === undefined) await close(iterator, isAsking);
  }
}

/** A source that is still asked for an item may never answer: its end isn't waited for. */
async function close<T>(iterator: AnyIterator<T>, isAsking: boolean): Promise<void> {
  const closed = Promise.resolve(iterator.return?.());
  if (!isAsking) await closed;
  else closed.catch(() => {});
}
