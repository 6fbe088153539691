import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AlbertNerError } from '../../lib/errors.js';
import { TagSet } from '../../lib/labels/scheme.js';
import { type EncoderFolder, readEncoderFolder } from '../../lib/model/encoder-folder.js';
import { nativeEncoderConfig, nativeHeadConfig } from '../../lib/model/native-config.js';
import type { NativeBatch, NativeSession, NativeTensor } from '../../lib/native/binding.js';
import { seeded } from '../support/crf-reference.js';
import {
  ADAMW,
  addon,
  codeOf,
  heldCall,
  int32,
  largestDifference,
  numbers,
  tensor,
  writeTensors,
} from '../support/native.js';
import { fixture, temporaryFolder } from '../support/paths.js';

const GOLDEN = [
  'google-gelu-new',
  'google-gelu',
  'google-relu-groups',
  'google-one-layer',
  'bright-post',
  'bright-pre',
];

const newSession = (t: ExecutionContext): NativeSession => {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  return session;
};

function batchOf(sequences: readonly (readonly number[])[]): NativeBatch {
  const offsets = [0];
  for (const ids of sequences) offsets.push((offsets.at(-1) as number) + ids.length);
  return { ids: Int32Array.from(sequences.flat()), offsets: Int32Array.from(offsets) };
}

async function loadGolden(session: NativeSession, name = 'google-gelu-new'): Promise<EncoderFolder> {
  const folder = await readEncoderFolder(fixture('albert', name));
  await session.loadEncoder(nativeEncoderConfig(folder.config, folder.vocab), folder.weights);
  return folder;
}

const TAGS = new TagSet(['A', 'B'], 'BIO');
const { config: GOOGLE } = await readEncoderFolder(fixture('albert', 'google-gelu-new'));
const HEAD = nativeHeadConfig({ hiddenSize: 6, dropout: 0.2, tagSet: TAGS }, GOOGLE);
const SEQUENCES = [[7, 12, 9, 30, 55, 8], [41], [], [10, 11, 12], [59, 58, 57, 1, 5, 6]];

/** A file's bytes as the addon takes them. */
function shared(bytes: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

async function rejection(promise: Promise<unknown>): Promise<AlbertNerError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof AlbertNerError) return error;
    throw error;
  }
  throw new Error('Expected a rejection');
}

for (const name of GOLDEN) {
  test(`the golden encoder ${name} gives the hidden states it must`, async (t) => {
    const session = newSession(t);
    await loadGolden(session, name);
    const { sequences, hidden } = JSON.parse(
      await readFile(fixture('albert', name, 'expected.json'), 'utf8'),
    );
    const actual = await session.encode(batchOf(sequences));
    t.true(largestDifference(actual, hidden.flat()) < 1e-5);
  });
}

test('a sequence has the same hidden states alone and in any batch', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  const together = await session.encode(batchOf(SEQUENCES));
  let row = 0;
  for (const ids of SEQUENCES) {
    const alone = await session.encode(batchOf([ids]));
    t.true(largestDifference(alone, together.subarray(row * 24, (row + ids.length) * 24)) < 1e-5);
    row += ids.length;
  }
});

test('weights of equal seeds are equal, of others different, and survive export and load', async (t) => {
  const session = newSession(t);
  const { config, vocab } = await readEncoderFolder(fixture('albert', 'google-gelu'));
  const native = nativeEncoderConfig(config, vocab);
  const weights = [];
  for (const seed of [1, 1, 2]) {
    await session.initEncoder(native, seed);
    weights.push(await session.exportTensors('encoder'));
  }
  t.deepEqual(weights[0], weights[1]);
  t.notDeepEqual(weights[0], weights[2]);
  const deviation = Math.sqrt(
    weights[0][0].data.reduce((sum, value) => sum + value * value, 0) / weights[0][0].data.length,
  );
  t.true(Math.abs(deviation / config.initializerRange - 1) < 0.1, `${deviation}`);
  const file = await writeTensors(join(await temporaryFolder(t), 'weights.safetensors'), weights[0]);
  await session.loadEncoder(native, file);
  t.deepEqual(await session.exportTensors('encoder'), weights[0]);
});

test('tagging equals the operators applied to the hidden states', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  await session.initHead(HEAD, 5);
  const batch = batchOf(SEQUENCES);
  const hidden = await session.encode(batch);
  const head = new Map((await session.exportTensors('head')).map((part) => [part.name, part]));
  const weight = (name: string) => {
    const { shape, data } = head.get(name) as { shape: number[]; data: Float32Array };
    return tensor(shape, data, 'float32');
  };
  const lstm = ['', '_reverse'].flatMap((suffix) =>
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0'].map((name) =>
      weight(`bilstm.${name}${suffix}`),
    ),
  );
  const offsets = int32(batch.offsets);
  const rows = batch.ids.length;
  const [states] = addon._callOp('albert_ner::bilstm', [
    tensor([rows, 24], hidden, 'float32'),
    offsets,
    ...lstm,
  ]).outputs;
  const [emissions] = addon._callOp('aten::linear', [
    states,
    weight('classifier.weight'),
    weight('classifier.bias'),
  ]).outputs;
  const never = (name: string, allowed: Uint8Array) => {
    const scores = numbers(weight(name)).map((score, k) => (allowed[k] ? score : Number.NEGATIVE_INFINITY));
    return tensor(weight(name).shape, scores, 'float32');
  };
  const crf = [
    never('crf.transitions', HEAD.allowedTransitions),
    never('crf.start_transitions', HEAD.allowedStarts),
    never('crf.end_transitions', HEAD.allowedEnds),
  ];
  const [tags, score] = addon._callOp('albert_ner::crf_viterbi', [emissions, offsets, ...crf]).outputs;
  const [, logZ] = addon._callOp('albert_ner::crf_marginals', [emissions, offsets, ...crf]).outputs;
  const result = await session.tag(batch);
  t.deepEqual(Array.from(result.tags), numbers(tags));
  const expected = numbers(score).map((value, k) => value - numbers(logZ)[k]);
  t.true(largestDifference(result.pathLogProbabilities, expected) < 1e-4);
});

test('the spans of a tagging are those of its tags, with probabilities', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  await session.initHead(HEAD, 11);
  const random = seeded(4);
  const sequences = Array.from({ length: 40 }, () =>
    Array.from({ length: 1 + random.int(12) }, () => 5 + random.int(55)),
  );
  const { tags, spans, spanScores } = await session.tag(batchOf(sequences));
  const offsets = batchOf(sequences).offsets;
  const fromTags: number[] = [];
  sequences.forEach((ids, sequence) => {
    let open = -1;
    for (let k = 0; k <= ids.length; k += 1) {
      const tag = k < ids.length ? TAGS.tags[tags[offsets[sequence] + k]] : 'O';
      if (open >= 0 && !tag.startsWith('I-')) {
        fromTags.push(sequence, open, k, TAGS.labelIndexes[tags[offsets[sequence] + open]]);
        open = -1;
      }
      if (tag.startsWith('B-')) open = k;
    }
  });
  t.true(fromTags.length > 20);
  t.deepEqual(Array.from(spans), fromTags);
  t.true(spanScores.every((score) => score > 0 && score <= 1));
});

test('overlapping windows that keep their cores make one sequence of all rows', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  await session.initHead(HEAD, 5);
  const windows = [
    [7, 12, 9, 30],
    [9, 30, 55, 8, 6],
    [8, 6],
  ];
  const request = {
    ...batchOf(windows),
    keep: Int32Array.from([0, 3, 1, 3, 1, 1]),
    sequenceOffsets: Int32Array.from([0, 7]),
  };
  const merged = await session.tag(request);
  t.is(merged.tags.length, 7);
  t.is(merged.pathLogProbabilities.length, 1);
  const split = await session.tag({ ...request, sequenceOffsets: Int32Array.from([0, 3, 6, 7]) });
  t.is(split.pathLogProbabilities.length, 3);
  const wrong = [
    { ...request, keep: Int32Array.from([0, 3, 1, 5, 1, 1]) },
    { ...request, keep: Int32Array.from([0, 3]) },
    { ...request, sequenceOffsets: Int32Array.from([0, 6]) },
    { ...request, sequenceOffsets: Int32Array.from([0, 8, 7]) },
    { ...request, offsets: Int32Array.from([0, 4, 9, 12]) },
  ];
  for (const bad of wrong) t.is((await rejection(session.tag(bad))).code, 'ERR_INVALID_ARGUMENT');
});

test('stored features tag like fresh ones and leave no file behind', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  await session.initHead(HEAD, 5);
  const folder = await temporaryFolder(t);
  const store = await session.createFeatureStore(join(folder, 'features.bin'));
  await session.appendFeatures(store, batchOf(SEQUENCES.slice(0, 2)));
  await session.appendFeatures(store, batchOf(SEQUENCES.slice(2)));
  t.is(store.sequenceCount, 5);
  t.is(store.rowCount, 16);
  const fresh = await session.tag(batchOf(SEQUENCES));
  const stored = await session.tagFeatures({ features: store, sequences: Int32Array.from([0, 1, 2, 3, 4]) });
  t.deepEqual(stored.tags, fresh.tags);
  t.true(largestDifference(stored.pathLogProbabilities, fresh.pathLogProbabilities) < 0.02);
  const sequences = Int32Array.from([5]);
  t.is((await rejection(session.tagFeatures({ features: store, sequences }))).code, 'ERR_INVALID_ARGUMENT');
  t.deepEqual(await import('node:fs/promises').then(({ readdir }) => readdir(folder)), []);
  await session.closeFeatureStore(store);
  await session.closeFeatureStore(store);
  const closed = session.tagFeatures({ features: store, sequences: Int32Array.from([0]) });
  t.is((await rejection(closed)).code, 'ERR_DISPOSED');
});

for (const counts of [
  [1, 8],
  [6, 1],
]) {
  test(`sessions of ${counts.join(' and ')} threads keep their numbers, whichever was made last`, async (t) => {
    const sessions = counts.map((threads) => new addon.Session({ device: 'cpu', threads }));
    t.teardown(() => Promise.all(sessions.map((session) => session.dispose())));
    for (const index of [0, 1, 0]) {
      const count = counts[index];
      t.deepEqual(await sessions[index]._threadCounts(), { ours: count, libtorch: count });
    }
  });
}

test('a feature store is of use to the session that made it alone', async (t) => {
  const [owner, other] = [newSession(t), newSession(t)];
  for (const session of [owner, other]) {
    await loadGolden(session);
    await session.initHead(HEAD, 5);
    await session.initOptimizer('head', ADAMW);
  }
  const store = await owner.createFeatureStore(join(await temporaryFolder(t), 'features.bin'));
  await owner.appendFeatures(store, batchOf(SEQUENCES));
  const sequences = Int32Array.of(0);
  const request = { features: store, sequences, tags: new Int32Array(SEQUENCES[0].length) };
  const learningRates = { encoder: 0, bilstm: 0, ngrams: 0, classifier: 0, crf: 0 };
  for (const call of [
    other.appendFeatures(store, batchOf(SEQUENCES)),
    other.tagFeatures({ features: store, sequences }),
    other.trainStep({ ...request, seed: 1, learningRates }),
    other.closeFeatureStore(store),
  ]) {
    const { code, message } = await rejection(call);
    t.is(code, 'ERR_INVALID_ARGUMENT');
    t.regex(message, /a feature store of this session/);
  }
  t.is((await owner.tagFeatures({ features: store, sequences })).tags.length, SEQUENCES[0].length);
});

async function trainable(t: ExecutionContext, seed = 5) {
  const session = newSession(t);
  await loadGolden(session);
  await session.initHead(HEAD, seed);
  const store = await session.createFeatureStore(join(await temporaryFolder(t), 'features.bin'));
  await session.appendFeatures(store, batchOf(SEQUENCES));
  await session.initOptimizer('head', ADAMW);
  const tags = Int32Array.from([1, 2, 0, 3, 4, 4, 0, 0, 1, 0, 3, 3, 4, 0, 1, 2]);
  const step = (number: number) =>
    session.trainStep({
      features: store,
      sequences: Int32Array.from([0, 1, 2, 3, 4]),
      tags,
      learningRates: { encoder: 0, bilstm: 0.02, ngrams: 0, classifier: 0.02, crf: 0.02 },
      seed: number,
    });
  return { session, step, store, tags };
}

test('training lowers the loss until the tags are learnt', async (t) => {
  const { session, step, tags } = await trainable(t);
  const first = await step(0);
  t.true(first.gradientNorm > 0);
  let last = first;
  for (let k = 1; k < 150; k += 1) last = await step(k);
  t.true(last.loss < first.loss / 10, `${first.loss} to ${last.loss}`);
  t.deepEqual((await session.tag(batchOf(SEQUENCES))).tags, tags);
});

test('exported weights and optimizer continue to the same bits', async (t) => {
  const one = await trainable(t);
  for (let k = 0; k < 5; k += 1) await one.step(k);
  const folder = await temporaryFolder(t);
  const save = async (part: 'head' | 'optimizer') =>
    writeTensors(join(folder, `${part}.safetensors`), await one.session.exportTensors(part));
  const [head, optimizer] = [await save('head'), await save('optimizer')];
  const other = await trainable(t, 77);
  await other.session.loadHead(HEAD, head);
  await other.session.initOptimizer('head', ADAMW);
  await other.session.loadOptimizer(optimizer);
  for (let k = 5; k < 9; k += 1) {
    t.deepEqual(await one.step(k), await other.step(k));
  }
  t.deepEqual(await other.session.exportTensors('head'), await one.session.exportTensors('head'));
});

test('the mean of weights takes their place to tag with, and gives it back to the bit', async (t) => {
  const { session, step } = await trainable(t);
  const before = [session.useAverage(true), session.exportTensors('average')];
  for (const call of before) t.is((await rejection(call)).code, 'ERR_INVALID_ARGUMENT');
  const states: NativeTensor[][] = [];
  for (let k = 0; k < 4; k += 1) {
    await step(k);
    if (k === 0) continue;
    await session.averageWeights();
    states.push(await session.exportTensors('head'));
  }
  const plainTags = await session.tag(batchOf(SEQUENCES));
  const average = await session.exportTensors('average');
  t.deepEqual(average.at(-1), { name: 'count', shape: [1], data: Float32Array.of(3) });
  for (const [index, { name, data }] of states[0].entries()) {
    t.is(average[index].name, name);
    const mean = data.map((_, k) => states.reduce((sum, state) => sum + state[index].data[k], 0) / 3);
    t.true(largestDifference(average[index].data, mean) < 1e-6, name);
  }

  await session.useAverage(true);
  await session.useAverage(true);
  t.deepEqual(await session.exportTensors('head'), average.slice(0, -1));
  t.notDeepEqual(await session.tag(batchOf(SEQUENCES)), plainTags);
  const file = await writeTensors(join(await temporaryFolder(t), 'average.safetensors'), average);
  const refused = [
    step(4),
    session.averageWeights(),
    session.exportTensors('average'),
    session.exportTensors('optimizer'),
    session.loadAverage(file),
    session.initOptimizer('head', ADAMW),
  ];
  for (const call of refused) t.is((await rejection(call)).code, 'ERR_INVALID_ARGUMENT');
  await session.useAverage(false);
  t.deepEqual(await session.exportTensors('head'), states[2]);

  const other = await trainable(t, 77);
  await other.session.loadAverage(file);
  t.deepEqual(await other.session.exportTensors('average'), average);
});

test('subnormal numbers count as zero on every thread of a session, and on that of JavaScript they do not', async (t) => {
  const session = new addon.Session({ device: 'cpu', threads: 2 });
  t.teardown(() => session.dispose());
  await loadGolden(session);
  // Matrices that are large enough to be shared among threads.
  const config = nativeHeadConfig({ hiddenSize: 256, dropout: 0, tagSet: TAGS }, GOOGLE);
  await session.initHead(config, 1);
  const subnormal = Math.fround(1e-40);
  const smallest = Float64Array.of(Number.MIN_VALUE);
  const tensors = await session.exportTensors('head');
  for (const { data } of tensors) data.fill(subnormal);
  const file = await writeTensors(join(await temporaryFolder(t), 'head.safetensors'), tensors);
  await session.loadHead(config, file);
  t.deepEqual(await session.exportTensors('head'), tensors);
  await session.initOptimizer('head', ADAMW);
  for (let k = 0; k < 2; k += 1) await session.averageWeights(); // the second one is arithmetic
  const average = (await session.exportTensors('average')).slice(0, -1);
  t.true(average.some(({ data }) => data.length >= 2 ** 18));
  for (const { name, data } of average)
    t.true(
      data.every((value) => value === 0),
      name,
    );
  t.true(smallest[0] * 4 > 0);
});

test('a loss that is not finite changes nothing', async (t) => {
  const { session, step, store } = await trainable(t);
  await step(0);
  const before = await session.exportTensors('head');
  const illegal = session.trainStep({
    features: store,
    sequences: Int32Array.from([1]),
    tags: Int32Array.from([2]),
    learningRates: { encoder: 0, bilstm: 1, ngrams: 0, classifier: 1, crf: 1 },
    seed: 1,
  });
  t.is((await rejection(illegal)).code, 'ERR_INVALID_ARGUMENT');
  t.deepEqual(await session.exportTensors('head'), before);
});

test('damaged or foreign weights are refused with code, reason and tensor', async (t) => {
  const session = newSession(t);
  const source = fixture('albert', 'google-gelu');
  const { config, vocab, weights } = await readEncoderFolder(source);
  const native = nativeEncoderConfig(config, vocab);
  const path = 'model.safetensors';
  const bytes = await readFile(join(source, 'model.safetensors'));
  const load = (tensors = weights.tensors, content = bytes) =>
    rejection(session.loadEncoder(native, { path, bytes: shared(content), tensors }));

  const poisoned = Buffer.from(bytes);
  poisoned.writeFloatLE(Number.NaN, weights.tensors[3].begin + 4);
  const nan = await load(weights.tensors, poisoned);
  t.is(nan.code, 'ERR_CHECKPOINT_UNREADABLE');
  t.like(nan.details, { reason: 'E_NONFINITE', tensor: weights.tensors[3].name });

  const neededEnd = Math.max(...weights.tensors.map(({ end }) => end));
  const truncated = await load(weights.tensors, bytes.subarray(0, neededEnd - 8));
  t.is(truncated.code, 'ERR_CHECKPOINT_UNREADABLE');
  t.is(truncated.details.reason, 'E_TRUNCATED');

  const missing = await load(weights.tensors.slice(1));
  t.is(missing.code, 'ERR_CHECKPOINT_MISMATCH');
  t.regex(missing.message, /embeddings\.word_embeddings\.weight/);
  const reshaped = weights.tensors.map((entry, k) => (k === 0 ? { ...entry, shape: [16, 60] } : entry));
  t.regex((await load(reshaped)).message, /\[16, 60\] instead of \[60, 16\]/);
  const lying = weights.tensors.map((entry, k) => (k === 0 ? { ...entry, end: entry.end - 4 } : entry));
  t.is((await load(lying)).details.reason, 'E_TENSOR_BOUNDS');
  // Memory that JavaScript could take away while the thread reads it.
  for (const content of [bytes, new Uint8Array(8), undefined, 'bytes']) {
    const file = { ...weights, bytes: content as unknown as Uint8Array<SharedArrayBuffer> };
    t.is((await rejection(session.loadEncoder(native, file))).code, 'ERR_INVALID_ARGUMENT');
  }
});

test('float16 weights load as what they round to', async (t) => {
  const session = newSession(t);
  const { config, vocab, weights } = await readEncoderFolder(fixture('albert', 'google-gelu'));
  const shape = weights.tensors[0].shape;
  // 1.5 is 0x3e00 in binary16.
  const count = shape[0] * shape[1];
  const source = await readFile(weights.path);
  const halves = Buffer.from(new Uint16Array(count).fill(0x3e00).buffer);
  const tensors = weights.tensors.map((entry, k) =>
    k === 0
      ? { ...entry, dtype: 'F16' as const, begin: source.length, end: source.length + 2 * count }
      : entry,
  );
  const file = { path: 'half.safetensors', bytes: shared(Buffer.concat([source, halves])), tensors };
  await session.loadEncoder(nativeEncoderConfig(config, vocab), file);
  const [{ data }] = await session.exportTensors('encoder');
  t.true(data.every((value) => value === 1.5));
});

test('units the encoder cannot take are refused', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  for (const sequences of [[[60]], [[-1]], [new Array<number>(31).fill(7)]]) {
    t.is((await rejection(session.encode(batchOf(sequences)))).code, 'ERR_INVALID_ARGUMENT');
  }
  t.is((await session.encode(batchOf([new Array<number>(30).fill(7)]))).length, 30 * 24);
});

test('every method rejects in the wrong state and after dispose, and never throws', async (t) => {
  const session = newSession(t);
  const { config, vocab, weights } = await readEncoderFolder(fixture('albert', 'google-gelu-new'));
  const batch = batchOf([[7]]);
  const store = await session.createFeatureStore(join(await temporaryFolder(t), 'features.bin'));
  const learningRates = { encoder: 0, bilstm: 1, ngrams: 0, classifier: 1, crf: 1 };
  const sequences = new Int32Array(0);
  const unloaded: (() => Promise<unknown>)[] = [
    () => session.encode(batch),
    () => session.tag(batch),
    () => session.tagFeatures({ features: store, sequences }),
    () => session.appendFeatures(store, batch),
    () => session.exportTensors('encoder'),
    () => session.exportTensors('head'),
    () => session.exportTensors('optimizer'),
    () =>
      session.initOptimizer('head', {
        kind: 'adam',
        beta1: 0.9,
        beta2: 0.9,
        epsilon: 1e-8,
        weightDecay: 0,
        clipNorm: 0,
      }),
    () => session.trainStep({ features: store, sequences, tags: sequences, learningRates, seed: 1 }),
    () => session.loadOptimizer(weights),
    () => session.averageWeights(),
    () => session.useAverage(true),
    () => session.loadAverage(weights),
    () => session.exportTensors('average'),
  ];
  const others: (() => Promise<unknown>)[] = [
    () => session.loadEncoder(nativeEncoderConfig(config, vocab), weights),
    () => session.initEncoder(nativeEncoderConfig(config, vocab), 1),
    () => session.initHead(HEAD, 1),
    () => session.loadHead(HEAD, weights),
    () => session.createFeatureStore('unused'),
    () => session.closeFeatureStore(store),
  ];
  for (const method of unloaded)
    t.is((await rejection(method())).code, 'ERR_INVALID_ARGUMENT', String(method));
  await session.dispose();
  await session.dispose();
  for (const method of [...unloaded, ...others])
    t.is((await rejection(method())).code, 'ERR_DISPOSED', String(method));
});

test('an optimizer ends with the encoder whose weights it moves', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  await session.initPretraining(1);
  const adam = { kind: 'adam', beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weightDecay: 0, clipNorm: 0 } as const;
  await session.initOptimizer('pretraining', adam);
  await session.exportTensors('optimizer');
  await loadGolden(session);
  t.is((await rejection(session.exportTensors('optimizer'))).code, 'ERR_INVALID_ARGUMENT');
});

test('wrong types reject with the name of the argument', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  const { config, vocab } = await readEncoderFolder(fixture('albert', 'google-gelu-new'));
  const native = nativeEncoderConfig(config, vocab);
  const wrong: [unknown, string][] = [
    [session.encode(undefined as never), 'batch'],
    [session.encode({ ids: [1] as never, offsets: new Int32Array(2) }), 'ids'],
    [session.encode({ ids: new Int32Array(1), offsets: new Float32Array(2) as never }), 'offsets'],
    [session.encode(batchOf([[7]]), {} as never), 'cancel'],
    [session.appendFeatures({} as never, batchOf([[7]])), 'store'],
    [session.exportTensors('tail' as never), 'part'],
    [session.initHead({ ...HEAD, dropout: 1 }, 1), 'dropout'],
    [session.initHead({ ...HEAD, tagRoles: new Int32Array(2) }, 1), 'tagRoles'],
    [session.initHead(HEAD, 0.5), 'seed'],
    [session.initEncoder({ layout: 'other' } as never, 1), 'layout'],
    [session.initEncoder(native, 1, 'near' as never), 'attentionStart'],
  ];
  for (const [promise, name] of wrong) {
    const error = await rejection(promise as Promise<unknown>);
    t.is(error.code, 'ERR_INVALID_ARGUMENT');
    t.is(error.details.option, name);
  }
});

test('devices that do not exist are refused with the reason', (t) => {
  const create = (device: string) => new addon.Session({ device, threads: 1 });
  for (const device of ['gpu', 'cuda:', 'cuda:x', 'CPU', ''])
    t.is(
      codeOf(() => create(device)),
      'ERR_INVALID_ARGUMENT',
    );
  const reason = addon.cudaUnavailableReason();
  if (reason === null) {
    t.log('CUDA is available here: the refusal of "cuda" is not exercised');
    t.is(
      codeOf(() => create('cuda:99')),
      'ERR_DEVICE_UNAVAILABLE',
    );
  } else {
    t.throws(() => create('cuda'), { message: new RegExp(reason.slice(0, 20).replace(/[().]/g, '.')) });
    t.is(
      codeOf(() => create('cuda:0')),
      'ERR_DEVICE_UNAVAILABLE',
    );
    t.is(create('auto').device, 'cpu');
  }
});

test('a cancelled token stops a running call and keeps a queued one from starting', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  await session.initHead(HEAD, 1);
  const batch = batchOf(Array.from({ length: 1000 }, () => new Array<number>(28).fill(9)));
  const running = await heldCall(t, (token) => session.tag(batch, token));
  const queued = new addon.CancelToken();
  const results = [rejection(running.result), rejection(session.tag(batch, queued))];
  queued.cancel();
  running.token.cancel();
  for (const result of results) t.is((await result).code, 'ERR_ABORTED');
  t.deepEqual([running.token._polls(), queued._polls()], [2, 1]);
  t.is((await session.tag(batchOf([[7]]))).tags.length, 1);
});

test('a running call looks at its token before every batch', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  await session.initHead(HEAD, 1);
  const token = new addon.CancelToken();
  await session.tag(batchOf(Array.from({ length: 1000 }, () => new Array<number>(28).fill(9))), token);
  // 73 sequences fit into the 2,048 rows of a batch; besides at the start, and before decoding.
  t.is(token._polls(), Math.ceil(1000 / 73) + 2);
});

test('dispose lets the running call finish and drops the queued ones', async (t) => {
  const session = newSession(t);
  await loadGolden(session);
  const batch = batchOf(Array.from({ length: 100 }, () => new Array<number>(28).fill(9)));
  const running = await heldCall(t, (token) => session.encode(batch, token));
  const queued = rejection(session.encode(batch));
  const disposal = session.dispose();
  running.token._release();
  t.is((await running.result).length, 100 * 28 * 24);
  t.is((await queued).code, 'ERR_DISPOSED');
  await disposal;
});

test('buildInfo names versions, compiler and instruction set', (t) => {
  const info = addon.buildInfo();
  t.regex(info.version, /^\d+\.\d+\.\d+/);
  t.is(info.torchLoaded.split('.')[0], info.torchCompiled.split('.')[0]);
  t.true(['avx512', 'avx2', 'baseline'].includes(info.instructionSet));
  t.true(info.compiler.length > 3);
  t.is(info.napiVersion, 9);
});
