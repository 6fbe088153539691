import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { quantizeRows } from '../../albert/convert/int8.js';
import {
  int32Values,
  loadSafetensors,
  readSafetensorsHeader,
  writeSafetensors,
} from '../../albert/convert/safetensors.js';
import { AlbertNerError } from '../../lib/errors.js';
import { readEncoderFolder, writeEncoderFolder } from '../../lib/model/encoder-folder.js';
import { nativeEncoderConfig } from '../../lib/model/native-config.js';
import { addon } from '../support/native.js';
import { fixture, temporaryFolder } from '../support/paths.js';

test('a row times its scale is within half a step of what it was', (t) => {
  const value = fc.float({ min: -1000, max: 1000, noNaN: true });
  fc.assert(
    fc.property(fc.array(fc.tuple(value, value, value), { minLength: 1, maxLength: 8 }), (rows) => {
      const data = Float32Array.from(rows.flat());
      const { values, scales } = quantizeRows(data, rows.length);
      data.forEach((original, k) => {
        const scale = scales[Math.floor(k / 3)];
        t.true(Math.abs(values[k] * scale - original) <= scale * 0.5001 + 1e-30);
      });
    }),
    { numRuns: 200, seed: 1 },
  );
});

test('a row of zeros stays one, and the largest magnitude is kept', (t) => {
  const { values, scales } = quantizeRows(Float32Array.from([0, 0, -254, 100]), 2);
  t.deepEqual([...values], [0, 0, -127, 50]);
  t.deepEqual([...scales], [0, 2]);
});

test('matrices are stored as int8 with scales, vectors and integers as they are', async (t) => {
  const file = join(await temporaryFolder(t), 'x.safetensors');
  const keys = Int32Array.of(-5, 0, 2 ** 31 - 1);
  const tensors = [
    { name: 'keys', shape: [3], data: keys },
    { name: 'matrix', shape: [2, 16], data: new Float32Array(32).fill(1) },
    { name: 'narrow', shape: [16, 2], data: new Float32Array(32).fill(1) },
    { name: 'vector', shape: [16], data: new Float32Array(16).fill(1) },
  ];
  await writeSafetensors(file, tensors, { dtype: 'I8' });
  const { tensors: written } = await readSafetensorsHeader(file);
  t.deepEqual(
    written.map(({ name, dtype, shape }) => `${name} ${dtype} ${shape}`),
    ['keys I32 3', 'matrix I8 2,16', 'matrix.scale F32 2', 'narrow F32 16,2', 'vector F32 16'],
  );
  const loaded = await loadSafetensors(file);
  t.deepEqual(int32Values(loaded, written[0]), keys);
  t.throws(() => int32Values(loaded, written[1]), { code: 'ERR_CHECKPOINT_MISMATCH' });
});

test('an encoder stored as int8 loads with weights near to what they were, and not without its scales', async (t) => {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  const original = await readEncoderFolder(fixture('albert', 'google-gelu'));
  await session.loadEncoder(nativeEncoderConfig(original.config, original.vocab), original.weights);
  const before = await session.exportTensors('encoder');
  const folder = join(await temporaryFolder(t), 'encoder');
  await writeEncoderFolder(folder, { ...original, tensors: before, dtype: 'I8' });
  const stored = await readEncoderFolder(folder);
  t.deepEqual(stored.warnings, original.warnings);
  await session.loadEncoder(nativeEncoderConfig(stored.config, stored.vocab), stored.weights);
  const after = await session.exportTensors('encoder');
  before.forEach(({ name, data }, k) => {
    const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const difference = data.reduce((most, value, i) => Math.max(most, Math.abs(value - after[k].data[i])), 0);
    t.true(difference <= largest / 253, name);
  });
  t.notDeepEqual(after, before);

  const file = join(folder, 'model.safetensors');
  const bytes = await readFile(file);
  // The same length, so the header stays sound.
  const damaged = bytes.toString('latin1').replace('query.weight.scale', 'query.weight.scalp');
  await writeFile(file, damaged, 'latin1');
  const broken = await readEncoderFolder(folder);
  const error = await t.throwsAsync(
    session.loadEncoder(nativeEncoderConfig(broken.config, broken.vocab), broken.weights),
    { instanceOf: AlbertNerError },
  );
  t.is((error as AlbertNerError).code, 'ERR_CHECKPOINT_MISMATCH');
  t.regex(error.message, /missing .*query\.weight\.scale/);
});

test('int8 values whose scales carry them beyond float32 are refused', async (t) => {
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  const original = await readEncoderFolder(fixture('albert', 'google-gelu'));
  await session.loadEncoder(nativeEncoderConfig(original.config, original.vocab), original.weights);
  const folder = join(await temporaryFolder(t), 'encoder');
  const tensors = await session.exportTensors('encoder');
  await writeEncoderFolder(folder, { ...original, tensors, dtype: 'I8' });
  const file = join(folder, 'model.safetensors');
  const { tensors: stored } = await readSafetensorsHeader(file);
  const scale = stored.find(({ name }) => name === 'embeddings.word_embeddings.weight.scale');
  const bytes = await readFile(file);
  // Of the second row: the first is [PAD], all zeros.
  bytes.writeFloatLE(3e38, (scale?.begin ?? 0) + 4);
  await writeFile(file, bytes);
  const { config, vocab, weights } = await readEncoderFolder(folder);
  const error = await t.throwsAsync(session.loadEncoder(nativeEncoderConfig(config, vocab), weights), {
    instanceOf: AlbertNerError,
  });
  t.is((error as AlbertNerError).code, 'ERR_CHECKPOINT_UNREADABLE');
  t.is((error as AlbertNerError).details?.reason, 'E_NONFINITE');
});
