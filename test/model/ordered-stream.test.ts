import test from 'ava';
import type { AlbertNerError } from '../../lib/errors.js';
import { iteratorOf, orderedStream } from '../../lib/model/ordered-stream.js';

/** A promise and what settles it. */
function deferred<T>() {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((...settle) => {
    [resolve, reject] = settle;
  });
  return { promise, resolve, reject };
}

const double = async (value: number) => 2 * value;
const never = () => new Promise<never>(() => {});

function streamOf(source: Iterable<number> | AsyncIterable<number>, options = {}) {
  return orderedStream(iteratorOf(source), { concurrency: 4, work: double, ...options });
}

async function collect<T>(stream: AsyncIterable<T>): Promise<{ values: T[]; error?: AlbertNerError }> {
  const values: T[] = [];
  try {
    for await (const value of stream) values.push(value);
  } catch (error) {
    return { values, error: error as AlbertNerError };
  }
  return { values };
}

test('a result comes while the source waits for its next item', async (t) => {
  const answered: number[] = [];
  let heard = deferred<void>();
  async function* source() {
    for (const item of [1, 2, 3]) {
      yield item;
      await heard.promise; // Nothing more comes before the answer was heard.
      heard = deferred();
    }
  }
  for await (const value of streamOf(source())) {
    answered.push(value);
    heard.resolve();
  }
  t.deepEqual(answered, [2, 4, 6]);
});

test('results keep the order of their items, whichever work ends first', async (t) => {
  const works = [deferred<string>(), deferred<string>(), deferred<string>()];
  const stream = orderedStream(iteratorOf([0, 1, 2]), {
    concurrency: 3,
    work: (item) => works[item].promise,
  });
  const collected = collect(stream);
  works[2].resolve('c');
  works[1].resolve('b');
  await works[1].promise;
  works[0].resolve('a');
  t.deepEqual(await collected, { values: ['a', 'b', 'c'] });
});

test('the source is read no further ahead than the concurrency', async (t) => {
  let read = 0;
  function* source() {
    for (; read < 100; ) {
      read += 1;
      yield read;
    }
  }
  let seen = 0;
  for await (const _ of streamOf(source())) {
    seen += 1;
    t.true(read <= seen + 4, `${read} read, ${seen} seen`);
  }
  t.is(seen, 100);
});

test('an error of the source comes after the results of what it gave before', async (t) => {
  async function* source() {
    yield* [1, 2, 3];
    throw new Error('source broke');
  }
  const { values, error } = await collect(streamOf(source(), { concurrency: 16 }));
  t.deepEqual(values, [2, 4, 6]);
  t.is(error?.message, 'source broke');
});

test('an error of the work comes in its place, and what is in work is aborted', async (t) => {
  const aborted: number[] = [];
  let closed = false;
  function* source() {
    try {
      yield* [1, 2, 3, 4];
    } finally {
      closed = true;
    }
  }
  const third = deferred<void>();
  const work = async (item: number, signal: AbortSignal) => {
    signal.addEventListener('abort', () => aborted.push(item));
    if (item === 1) await third.promise;
    if (item === 2) throw new Error('work broke');
    if (item === 3) third.resolve();
    return item;
  };
  const { values, error } = await collect(streamOf(source(), { concurrency: 3, work }));
  t.deepEqual(values, [1]);
  t.is(error?.message, 'work broke');
  t.true(aborted.includes(3));
  t.true(closed);
});

test('abort ends the stream at once while it waits for the source, with the reason as cause', async (t) => {
  const controller = new AbortController();
  const waits = deferred<void>();
  let closed = false;
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        waits.resolve();
        return never();
      },
      // As a generator's, which waits for the item before.
      return: () => {
        closed = true;
        return never();
      },
    }),
  };
  const collected = collect(streamOf(source, { signal: controller.signal }));
  await waits.promise;
  controller.abort('enough');
  const { error } = await collected;
  t.is(error?.code, 'ERR_ABORTED');
  t.is(error?.cause, 'enough');
  t.true(closed);
});

test('abort ends the stream at once while it waits for the work', async (t) => {
  const controller = new AbortController();
  const waits = deferred<void>();
  const work = () => {
    waits.resolve();
    return never();
  };
  const collected = collect(streamOf([1, 2], { work, signal: controller.signal }));
  await waits.promise;
  controller.abort();
  t.is((await collected).error?.code, 'ERR_ABORTED');
});

test('leaving the loop early aborts the work and closes the source', async (t) => {
  let closed = false;
  const signals: AbortSignal[] = [];
  async function* source() {
    try {
      for (let item = 0; ; item += 1) yield item;
    } finally {
      closed = true;
    }
  }
  const work = async (item: number, signal: AbortSignal) => {
    signals.push(signal);
    return item;
  };
  for await (const value of streamOf(source(), { work })) if (value === 2) break;
  t.true(closed);
  t.true(signals.every(({ aborted }) => aborted));
});

test('items that are promises are waited for, as by a loop', async (t) => {
  const source = [1, 2, 3].map((item) => Promise.resolve(item)) as unknown as number[];
  t.deepEqual(await collect(streamOf(source)), { values: [2, 4, 6] });
});

test('an error while closing the source is told when the loop is left, and hides no other', async (t) => {
  const source = {
    [Symbol.iterator]: () => ({
      next: () => ({ done: false, value: 1 }),
      return: () => {
        throw new Error('closing broke');
      },
    }),
  };
  const leave = async () => {
    for await (const _ of streamOf(source, { concurrency: 1 })) break;
  };
  await t.throwsAsync(leave(), { message: 'closing broke' });
  const work = () => Promise.reject(new Error('work broke'));
  t.is((await collect(streamOf(source, { work, concurrency: 1 }))).error?.message, 'work broke');
});

test('what has no items to read is refused', (t) => {
  for (const source of [undefined, null, 7, {}, '王小明', () => {}]) {
    t.throws(() => iteratorOf(source as unknown as string[]), { code: 'ERR_INVALID_ARGUMENT' });
  }
});
