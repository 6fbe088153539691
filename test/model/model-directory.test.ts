import { copyFile, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { loadSafetensors, writeSafetensors } from '../../albert/convert/safetensors.js';
import { canonicalTensors } from '../../albert/name-map.js';
import { AlbertNerError, type ErrorCode } from '../../lib/errors.js';
import { TagSet } from '../../lib/labels/scheme.js';
import { readEncoderFolder, writeEncoderFolder } from '../../lib/model/encoder-folder.js';
import {
  ENCODER_PREFIX,
  type ModelContent,
  NGRAM_KEYS,
  readModelDirectory,
  replaceScores,
  writeModelDirectory,
} from '../../lib/model/model-directory.js';
import { childProgram, countFileOperations, runKilledAt } from '../support/child.js';
import { fixture, temporaryFolder } from '../support/paths.js';

async function content(fill = 0.5): Promise<ModelContent> {
  const { config, vocab } = await readEncoderFolder(fixture('albert', 'google-gelu'));
  const K = new TagSet(['PER', 'LOC'], 'BIO').size;
  const shapes = new Map(
    [...canonicalTensors(config)].map(([name, shape]) => [ENCODER_PREFIX + name, shape]),
  );
  shapes.set('crf.transitions', [K, K]).set('crf.end_transitions', [K]);
  return {
    description: {
      encoder: config,
      head: { hiddenSize: 4, dropout: 0.1, layer: -2 as const, ngramWidth: 0 },
      labels: ['PER', 'LOC'],
      scheme: 'BIO',
      text: { maxUnits: 20, margin: 4 },
      scores: null,
      training: null,
    },
    vocab,
    tensors: [...shapes].map(([name, shape]) => ({
      name,
      shape,
      data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill),
    })),
    card: '# Card\n',
  };
}

async function refusal(t: ExecutionContext, directory: string): Promise<AlbertNerError> {
  return (await t.throwsAsync(readModelDirectory(directory), {
    instanceOf: AlbertNerError,
  })) as AlbertNerError;
}

test('a written model reads back whole', async (t) => {
  const directory = join(await temporaryFolder(t), 'model');
  const written = await writeModelDirectory(directory, await content());
  const { description, vocab, encoderWeights, headWeights } = await readModelDirectory(directory);
  t.deepEqual(description, written);
  t.is(vocab.size, 60);
  t.is(encoderWeights.tensors.length, canonicalTensors(description.encoder).size);
  t.false(encoderWeights.tensors[0].name.startsWith(ENCODER_PREFIX));
  t.deepEqual(headWeights.tensors.map(({ name }) => name).sort(), ['crf.end_transitions', 'crf.transitions']);
  const encoder = await readEncoderFolder(directory);
  t.deepEqual([encoder.config, encoder.weights], [description.encoder, encoderWeights]);
  t.deepEqual((await readdir(directory)).sort(), [
    'README.md',
    'config.json',
    'model.json',
    'model.safetensors',
    'vocab.txt',
  ]);
});

test('keys of n-grams that are out of order or no list are refused', async (t) => {
  const whole = await content();
  for (const [shape, keys, what] of [
    [[3], [1, 3, 2], /ascending at place 2/],
    [[2], [5, 5], /ascending at place 1/],
    [[2, 1], [1, 2], /shape \[2, 1\]/],
  ] as const) {
    const directory = await temporaryFolder(t);
    const tensor = { name: NGRAM_KEYS, shape: [...shape], data: Int32Array.from(keys) };
    await writeModelDirectory(directory, { ...whole, tensors: [...whole.tensors, tensor] });
    const error = await refusal(t, directory);
    t.is(error.code, 'ERR_CHECKPOINT_MISMATCH');
    t.regex(error.message, what);
  }
});

test('an encoder written over a model leaves no model, and one that fails leaves the model', async (t) => {
  const directory = await temporaryFolder(t);
  await writeModelDirectory(directory, await content());
  const { description, vocab } = await readModelDirectory(directory);
  const tensors = [...canonicalTensors(description.encoder)].map(([name, shape]) => ({
    name,
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.75),
  }));
  const broken = Object.assign(Object.create(vocab), {
    serialize: () => {
      throw new Error('no vocabulary');
    },
  });
  const encoder = { config: description.encoder, vocab, tensors };
  await t.throwsAsync(writeEncoderFolder(directory, { ...encoder, vocab: broken }), {
    message: 'no vocabulary',
  });
  t.deepEqual((await readModelDirectory(directory)).description, description);
  await writeEncoderFolder(directory, encoder);
  t.is((await refusal(t, directory)).code, 'ERR_MODEL_NOT_FOUND');
  await readEncoderFolder(directory);
});

test('a model written over another replaces it', async (t) => {
  const directory = await temporaryFolder(t);
  const first = await writeModelDirectory(directory, await content(0.5));
  const second = await writeModelDirectory(directory, await content(0.25));
  t.not(first.weights.sha256, second.weights.sha256);
  t.deepEqual((await readModelDirectory(directory)).description, second);
});

test('an unfinished, missing or foreign directory is refused with what to do', async (t) => {
  const directory = await temporaryFolder(t);
  t.like(await refusal(t, join(directory, 'none')), { code: 'ERR_MODEL_NOT_FOUND' });
  await writeModelDirectory(directory, await content());
  await rm(join(directory, 'model.json'));
  const encoder = await refusal(t, directory);
  t.is(encoder.code, 'ERR_MODEL_NOT_FOUND');
  t.regex(encoder.message, /encoder without a tagger; .* albert-ner train --encoder/);
  await rm(join(directory, 'config.json'));
  const unfinished = await refusal(t, directory);
  t.is(unfinished.code, 'ERR_MODEL_NOT_FOUND');
  t.regex(unfinished.message, /interrupted/);
});

test('weights, labels and descriptions that do not belong together are refused', async (t) => {
  const directory = await temporaryFolder(t);
  await writeModelDirectory(directory, await content());
  const file = join(directory, 'model.json');
  const good = JSON.parse(await readFile(file, 'utf8'));
  const cases: [unknown, ErrorCode, RegExp][] = [
    [{ ...good, labels: ['PER'] }, 'ERR_LABELS_MISMATCH', /3 tags but the weights have 5/],
    [{ ...good, formatVersion: 3 }, 'ERR_CHECKPOINT_MISMATCH', /newer/],
    [{ ...good, surprise: 1 }, 'ERR_CHECKPOINT_MISMATCH', /surprise/],
    [{ ...good, weights: { ...good.weights, file: '../x' } }, 'ERR_CHECKPOINT_MISMATCH', /weights\.file/],
    [
      { ...good, weights: { ...good.weights, sha256: '0'.repeat(64) } },
      'ERR_CHECKPOINT_UNREADABLE',
      /SHA-256/,
    ],
    [{ ...good, encoder: { ...good.encoder, vocabSize: 59 } }, 'ERR_CHECKPOINT_MISMATCH', /60/],
  ];
  for (const [json, code, message] of cases) {
    await writeFile(file, JSON.stringify(json));
    const error = await refusal(t, directory);
    t.is(error.code, code);
    t.regex(error.message, message);
  }
  await writeFile(file, '{"formatVersion": 1');
  t.is((await refusal(t, directory)).code, 'ERR_CHECKPOINT_UNREADABLE');
  await writeFile(file, JSON.stringify(good));
  await rm(join(directory, 'vocab.txt'));
  t.is((await refusal(t, directory)).code, 'ERR_MODEL_NOT_FOUND');
});

test('whatever changes what a model says is found changed', async (t) => {
  const directory = await temporaryFolder(t);
  const model = await content();
  const { labels, head, text, encoder } = model.description;
  await writeModelDirectory(directory, model);
  const [file, vocabFile] = [join(directory, 'model.json'), join(directory, 'vocab.txt')];
  const [description, vocab] = [JSON.parse(await readFile(file, 'utf8')), await readFile(vocabFile, 'utf8')];
  const changes: [object, ErrorCode, RegExp][] = [
    [{ labels: ['PERSON', labels[1]] }, 'ERR_LABELS_MISMATCH', /aren't those the weights learned/],
    [{ labels: [...labels].reverse() }, 'ERR_LABELS_MISMATCH', /aren't those the weights learned/],
    [{ head: { ...head, layer: -1 } }, 'ERR_CHECKPOINT_UNREADABLE', /model\.json was changed/],
    [{ text: { ...text, maxUnits: 10 } }, 'ERR_CHECKPOINT_UNREADABLE', /model\.json was changed/],
    [{ encoder: { ...encoder, activation: 'relu' } }, 'ERR_CHECKPOINT_UNREADABLE', /model\.json was changed/],
    [{ encoder: { ...encoder, layerCount: 1e9 } }, 'ERR_CHECKPOINT_MISMATCH', /layerCount/],
  ];
  for (const [change, code, message] of changes) {
    await writeFile(file, JSON.stringify({ ...description, ...change }));
    const error = await refusal(t, directory);
    t.is(error.code, code);
    t.regex(error.message, message);
  }
  await writeFile(file, JSON.stringify({ ...description, scores: { dev: 1 } }));
  await writeFile(vocabFile, vocab.replaceAll('\n', '\r\n'));
  await readModelDirectory(directory); // Neither changes what the model says.
  for (const lines of [vocab.split('\n').slice(0, -2), vocab.split('\n').toSpliced(10, 1)]) {
    await writeFile(vocabFile, `${lines.join('\n')}\n`);
    const error = await refusal(t, directory);
    t.like(error, { code: 'ERR_CHECKPOINT_UNREADABLE', details: { file: vocabFile, reason: 'E_HASH' } });
  }
});

test('a description of version 1 is read, and gets its hashes with new scores', async (t) => {
  const directory = await temporaryFolder(t);
  const { hashes, ...written } = await writeModelDirectory(directory, await content());
  t.truthy(hashes);
  await writeFile(join(directory, 'model.json'), JSON.stringify({ ...written, formatVersion: 1 }));
  t.is((await readModelDirectory(directory)).description.hashes, null);
  await replaceScores(directory, { dev: 1 }, () => '# Card');
  t.deepEqual((await readModelDirectory(directory)).description, { ...written, hashes, scores: { dev: 1 } });
});

test('a pointer of Git LFS in place of a file says what it is', async (t) => {
  for (const name of ['model.safetensors', 'vocab.txt', 'model.json']) {
    const directory = await temporaryFolder(t);
    await writeModelDirectory(directory, await content());
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n';
    await writeFile(join(directory, name), pointer);
    const { code, message } = await refusal(t, directory);
    t.is(code, 'ERR_CHECKPOINT_UNREADABLE');
    t.regex(message, new RegExp(`${name}.*git lfs pull`));
  }
});

test('a model loaded while others are published over it is one of them, whole', async (t) => {
  const directory = join(await temporaryFolder(t), 'model');
  await writeModelDirectory(directory, await content(0));
  let published = 0;
  let loaded = 0;
  const publish = async () => {
    for (published = 1; published < 60; published += 1) {
      await writeModelDirectory(directory, await content(published));
    }
    published = Number.POSITIVE_INFINITY;
  };
  const load = async () => {
    while (Number.isFinite(published)) {
      const { encoderWeights, headWeights } = await readModelDirectory(directory);
      t.is(encoderWeights.bytes, headWeights.bytes);
      const values = [...encoderWeights.tensors, ...headWeights.tensors].map(({ begin }) =>
        Buffer.from(encoderWeights.bytes.slice(begin, begin + 4)).readFloatLE(),
      );
      t.is(new Set(values).size, 1);
      loaded += 1;
    }
  };
  await Promise.all([publish(), load(), load(), load()]);
  t.true(loaded > 0);
});

test('weights that shrink while they are read are truncated, and the process lives', async (t) => {
  const file = join(await temporaryFolder(t), 'model.safetensors');
  const tensors = [{ name: 'a', shape: [8 << 20], data: new Float32Array(8 << 20) }];
  for (let cut = 0; cut < 5; cut += 1) {
    await writeSafetensors(file, tensors);
    const loading = loadSafetensors(file);
    await truncate(file, 4 << 20);
    const error = (await t.throwsAsync(loading, { instanceOf: AlbertNerError })) as AlbertNerError;
    t.is(error.code, 'ERR_CHECKPOINT_UNREADABLE');
    t.is(error.details.reason, 'E_TRUNCATED');
  }
});

test('a writer killed at any moment leaves a whole model or none', async (t) => {
  const folder = await temporaryFolder(t);
  const directory = join(folder, 'model');
  const operations = await countFileOperations(childProgram('write-models'), [join(folder, 'counted')]);
  let whole = 0;
  // The last operations put the second model in place of the first: one after the other; before that some.
  for (let operation = 1; operation <= operations; operation += operation < operations - 14 ? 6 : 1) {
    const { signal, stderr } = await runKilledAt(operation, childProgram('write-models'), [directory]);
    t.is(signal, 'SIGKILL', stderr);
    try {
      await readModelDirectory(directory);
      await readEncoderFolder(directory);
      whole += 1;
    } catch (error) {
      t.is((error as AlbertNerError).code, 'ERR_MODEL_NOT_FOUND', String(error));
    }
  }
  t.true(whole > 0);
});

test('an encoder folder without one of its files says which', async (t) => {
  const folder = await temporaryFolder(t);
  await t.throwsAsync(readEncoderFolder(join(folder, 'none')), { code: 'ERR_MODEL_NOT_FOUND' });
  for (const name of ['config.json', 'vocab.txt', 'model.safetensors']) {
    await t.throwsAsync(readEncoderFolder(folder), {
      code: 'ERR_MODEL_NOT_FOUND',
      message: new RegExp(`no ${name}`),
    });
    await copyFile(fixture('albert', 'google-gelu', name), join(folder, name));
  }
  t.is((await readEncoderFolder(folder)).vocab.size, 60);
  await writeFile(join(folder, 'vocab.txt'), '[PAD]\n[UNK]\n[CLS]\n[SEP]\n');
  t.regex((await readEncoderFolder(folder)).warnings.join(), /4 entries but the embedding 60/);
});
