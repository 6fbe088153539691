import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { AlbertNer, AlbertNerError, type Prediction } from '../../lib/index.js';
import { temporaryFolder } from '../support/paths.js';
import { trainTinyModel } from '../support/tiny-model.js';

let folder: string;
let directory: string;
let ner: AlbertNer;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'albert-ner-test-'));
  ({ directory } = await trainTinyModel(folder));
  ner = await AlbertNer.load(directory, { device: 'cpu', threads: 1 });
});

test.after.always(async () => {
  await ner?.dispose();
  await rm(folder, { recursive: true, force: true });
});

async function rejectionCode(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof AlbertNerError) return error.code;
    throw error;
  }
  return 'none';
}

/** Text the tiny model finds entities in: sentences it was trained on. */
async function knownTexts(): Promise<string[]> {
  const lines = (await readFile(join(folder, 'train.txt'), 'utf8')).split('\n\n');
  return lines
    .slice(0, 40)
    .map((sentence) =>
      sentence
        .split('\n')
        .map((line) => line.split(/[ \t]/)[0])
        .join(''),
    )
    .filter((text) => text !== '');
}

function closeTo(t: import('ava').ExecutionContext, actual: Prediction, expected: Prediction) {
  const bare = ({ entities }: Prediction) =>
    entities.map(({ text, label, start, end }) => ({ text, label, start, end }));
  t.deepEqual(bare(actual), bare(expected));
  actual.entities.forEach(({ score }, index) => {
    t.true(Math.abs(score - expected.entities[index].score) < 1e-5);
  });
}

test('entities of a known sentence carry exact offsets and probabilities', async (t) => {
  const texts = await knownTexts();
  const predictions = await ner.predict(texts);
  const entities = predictions.flatMap((prediction) => prediction.entities);
  t.true(entities.length > 20, `${entities.length} entities`);
  predictions.forEach((prediction, index) => {
    for (const { text, start, end, score } of prediction.entities) {
      t.is(texts[index].slice(start, end), text);
      t.true(score > 0 && score <= 1);
    }
  });
});

test('a text gives the same entities and scores alone, in a batch and in another order', async (t) => {
  const texts = await knownTexts();
  const batch = await ner.predict(texts);
  const reversed = (await ner.predict([...texts].reverse())).reverse();
  for (const [index, text] of texts.entries()) {
    closeTo(t, await ner.predict(text), batch[index]);
    closeTo(t, reversed[index], batch[index]);
  }
});

test('32 callers at once get what one caller gets', async (t) => {
  const texts = (await knownTexts()).slice(0, 32);
  const serial: Prediction[] = [];
  for (const text of texts) serial.push(await ner.predict(text));
  const concurrent = await Promise.all(texts.map((text) => ner.predict(text)));
  concurrent.forEach((prediction, index) => {
    closeTo(t, prediction, serial[index]);
  });
});

test('slices of any input equal the entity text', async (t) => {
  const pieces = fc.constantFrom(
    '王小明',
    '在北京',
    '2024年',
    '😀',
    '𠮷',
    'é',
    'ＡＢＣ',
    '\n',
    '\r\n',
    ' ',
    '\ud800',
    '\udc00',
    '\u0301',
    '👨‍👩‍👧',
    '。',
  );
  const strings = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc.array(pieces, { maxLength: 60 }).map((all) => all.join('')),
  );
  await fc.assert(
    fc.asyncProperty(strings, async (text) => {
      const { entities } = await ner.predict(text);
      let last = 0;
      for (const entity of entities) {
        if (text.slice(entity.start, entity.end) !== entity.text || entity.text === '') return false;
        if (entity.start < last) return false;
        last = entity.end;
      }
      return true;
    }),
    { numRuns: 150, seed: 11 },
  );
  t.pass();
});

test('an entity is found wherever it stands in a 20,000-character text', async (t) => {
  const [sentence, expected] = await firstWithEntities();
  const filler = '今天天气不错我们去公园走走看看花草树木'.repeat(1100).slice(0, 20_000);
  for (const position of [0, 61, 500, 9_999, 19_990]) {
    const text = `${filler.slice(0, position)}\n${sentence}\n${filler.slice(position)}`;
    const { entities, windows } = await ner.predict(text);
    const found = entities
      .filter(({ start, end }) => start > position && end <= position + 1 + sentence.length)
      .map(({ text: entityText, label }) => ({ text: entityText, label }));
    t.deepEqual(
      found,
      expected.map(({ text: entityText, label }) => ({ text: entityText, label })),
    );
    t.true(windows > 300, `${windows} windows`);
  }
});

async function firstWithEntities(): Promise<[string, Prediction['entities']]> {
  for (const text of await knownTexts()) {
    const { entities } = await ner.predict(text);
    if (entities.length >= 2) return [text, entities];
  }
  throw new Error('The tiny model found no sentence with two entities');
}

test('texts without a readable character have no entities', async (t) => {
  for (const text of ['', ' ', '\n\n', '\u200b', '\ufeff']) {
    t.deepEqual(await ner.predict(text), { entities: [], windows: 0 });
  }
  t.deepEqual(await ner.predict([]), []);
});

test('minScore leaves out what is less likely', async (t) => {
  const texts = await knownTexts();
  const all = (await ner.predict(texts)).flatMap(({ entities }) => entities);
  const threshold = all.map(({ score }) => score).sort((a, b) => a - b)[Math.floor(all.length / 2)];
  const some = (await ner.predict(texts, { minScore: threshold })).flatMap(({ entities }) => entities);
  t.deepEqual(
    some,
    all.filter(({ score }) => score >= threshold),
  );
  t.true(some.length < all.length);
});

test('a stream keeps the order, reads no further ahead than its concurrency and closes its source', async (t) => {
  const texts = await knownTexts();
  let pulled = 0;
  let closed = false;
  function* source() {
    try {
      for (const text of texts) {
        pulled += 1;
        yield text;
      }
    } finally {
      closed = true;
    }
  }
  const expected = await ner.predict(texts);
  let seen = 0;
  for await (const prediction of ner.predictStream(source(), { concurrency: 4 })) {
    closeTo(t, prediction, expected[seen]);
    seen += 1;
    t.true(pulled <= seen + 4, `${pulled} pulled after ${seen}`);
    if (seen === 10) break;
  }
  t.is(seen, 10);
  t.true(closed);
});

test('a stream of many texts at once is no cause for a warning', async (t) => {
  const warnings: Error[] = [];
  const listen = (warning: Error) => warnings.push(warning);
  process.on('warning', listen);
  const texts = await knownTexts();
  const { signal } = new AbortController();
  let count = 0;
  for await (const _ of ner.predictStream(texts, { concurrency: 30, signal })) count += 1;
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', listen);
  t.is(count, texts.length);
  t.deepEqual(warnings, []);
});

test('a stream passes an error of its source on', async (t) => {
  async function* source() {
    yield '王小明在北京';
    throw new Error('source broke');
  }
  const read = async () => {
    for await (const _ of ner.predictStream(source(), { concurrency: 8 }));
  };
  await t.throwsAsync(read(), { message: 'source broke' });
});

test('abort signals end calls with ERR_ABORTED: before, in the queue and while running', async (t) => {
  // Each of these texts is a call of its own, and only two are queued at a time.
  const texts = new Array<string>(50).fill('王小明在北京工作。'.repeat(500));
  t.is(await rejectionCode(ner.predict('王', { signal: AbortSignal.abort() })), 'ERR_ABORTED');
  const controller = new AbortController();
  const running = rejectionCode(ner.predict(texts, { signal: controller.signal }));
  const queued = rejectionCode(ner.predict(texts, { signal: controller.signal }));
  // Others get their turn in between: when this one has, most of the texts are still to come.
  await ner.predict('王');
  controller.abort();
  t.is(await running, 'ERR_ABORTED');
  t.is(await queued, 'ERR_ABORTED');
  t.is((await ner.predict('王小明')).windows, 1);
});

for (const end of ['return', 'throw'] as const) {
  test(`${end}() ends a stream that waits for its source, and closes the source`, async (t) => {
    let closed = 0;
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => {}),
        // As a generator's, which waits for the item before.
        return: () => {
          closed += 1;
          return new Promise<never>(() => {});
        },
      }),
    };
    const stream = ner.predictStream(source);
    const next = stream.next();
    const reason = new Error('enough');
    if (end === 'return') t.deepEqual(await stream.return(), { done: true, value: undefined });
    else t.is(await t.throwsAsync(stream.throw(reason)), reason);
    t.deepEqual(await next, { done: true, value: undefined });
    t.is(closed, 1);
  });
}

test('a list may be changed as soon as predict has returned', async (t) => {
  const texts = await knownTexts();
  const expected = await ner.predict(texts);
  for (const change of [
    (list: string[]) => list.reverse(),
    (list: string[]) => list.push('王小明'),
    (list: string[]) => list.splice(0),
  ]) {
    const list = [...texts];
    const predictions = ner.predict(list);
    change(list);
    t.deepEqual(await predictions, expected);
  }
});

test('many calls at once may share a signal without a warning', async (t) => {
  const warnings: Error[] = [];
  const listen = (warning: Error) => warnings.push(warning);
  process.on('warning', listen);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 30 }, () => ner.predict('王小明在北京', { signal })));
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', listen);
  t.deepEqual(warnings, []);
});

test('200,000 blank texts have 200,000 predictions', async (t) => {
  const predictions = await ner.predict(Array.from({ length: 200_000 }, (_, k) => ' '.repeat(k % 2)));
  t.is(predictions.length, 200_000);
  t.true(predictions.every(({ entities, windows }) => entities.length === 0 && windows === 0));
});

test('misuse rejects with ERR_INVALID_ARGUMENT and names the argument', async (t) => {
  const wrong = [
    ner.predict(undefined as unknown as string),
    ner.predict([1] as unknown as string[]),
    ner.predict(new Array<string>(3)),
    ner.predict(Object.assign(new Array<string>(3), { 0: '王', 2: '明' })),
    ner.predict(new Set(['王']) as unknown as string[]),
    ner.predict('王', null as unknown as object),
    ner.predict('王', { signal: new AbortController() as unknown as AbortSignal }),
    ner.predict('王', { signal: null as unknown as AbortSignal }),
    ner.predict('王', { signal: { aborted: false } as AbortSignal }),
    ner.predictStream('王小明').next(),
    ner.predictStream(7 as unknown as string[]).next(),
    ner.predictStream(['王'], { signal: {} as AbortSignal }).next(),
    ner
      .predictStream(['王', 7 as unknown as string])
      .next()
      .then(() => ner.predictStream([7 as unknown as string]).next()),
    ner.predict('王', { minScore: 2 }),
    ner.predict('王', { minscore: 0.5 } as object),
    AlbertNer.load(directory, { device: 'gpu' }),
    AlbertNer.load(directory, { threads: -1 }),
    AlbertNer.load(7 as unknown as string),
  ];
  for (const promise of wrong) t.is(await rejectionCode(promise), 'ERR_INVALID_ARGUMENT');
});

test('after dispose calls reject with ERR_DISPOSED and a second dispose does nothing', async (t) => {
  const other = await AlbertNer.load(directory, { device: 'cpu', threads: 1 });
  await other.dispose();
  await other.dispose();
  t.is(await rejectionCode(other.predict('王')), 'ERR_DISPOSED');
});

test('a missing, unfinished or damaged model directory is refused with its code', async (t) => {
  const empty = await temporaryFolder(t);
  t.is(await rejectionCode(AlbertNer.load(join(empty, 'nowhere'))), 'ERR_MODEL_NOT_FOUND');
  t.is(await rejectionCode(AlbertNer.load(empty)), 'ERR_MODEL_NOT_FOUND');
  for (const name of ['model.json', 'vocab.txt', 'model.safetensors']) {
    await writeFile(join(empty, name), await readFile(join(directory, name)));
  }
  const weights = await readFile(join(directory, 'model.safetensors'));
  await writeFile(join(empty, 'model.safetensors'), weights.subarray(0, weights.length - 4));
  t.is(await rejectionCode(AlbertNer.load(empty)), 'ERR_CHECKPOINT_UNREADABLE');
  await rm(join(empty, 'vocab.txt'));
  t.not(await rejectionCode(AlbertNer.load(empty)), 'none');
});
