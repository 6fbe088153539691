import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readSafetensorsHeader, readTensor } from '../../albert/convert/safetensors.js';
import { TagSet } from '../../lib/labels/scheme.js';
import { convertCheckpoint } from '../../lib/model/convert-checkpoint.js';
import { readModelDirectory } from '../../lib/model/model-directory.js';
import { AlbertNer } from '../../lib/model/ner.js';
import { call } from '../support/crf-ops.js';
import { int32, largestDifference, numbers, tensor } from '../support/native.js';
import { fixture, temporaryFolder } from '../support/paths.js';

const TAGS = ['B_T', 'I_T', 'B_LOC', 'I_LOC', 'B_ORG', 'I_ORG', 'B_PER', 'I_PER', 'O'];
const expected = JSON.parse(
  await readFile(fixture('checkpoints', 'tagger', 'expected.json'), 'utf8'),
) as Record<'rows' | 'emissions' | 'transitions', number[][]>;
const CONFIG = { num_attention_heads: 3, num_hidden_layers: 3, hidden_act: 'gelu', ln_type: 'postln' };

/** A folder as a user of the reference implementation has it. */
async function userFolder(t: ExecutionContext): Promise<string> {
  const folder = await temporaryFolder(t);
  await copyFile(fixture('checkpoints', 'tagger', 'params.pkl'), join(folder, 'params.pkl'));
  await copyFile(fixture('albert', 'bright-post', 'vocab.txt'), join(folder, 'vocab.txt'));
  await writeFile(join(folder, 'albert_config_base.json'), JSON.stringify(CONFIG));
  return folder;
}

async function imported(t: ExecutionContext, tags?: string[]): Promise<string> {
  const input = await userFolder(t);
  const output = join(input, 'model');
  const report = await convertCheckpoint({ input: join(input, 'params.pkl'), output, tags });
  t.is(report.kind, 'model');
  t.like(report.encoder, { layout: 'bright', activation: 'gelu_erf' });
  t.deepEqual(report.unknown, []);
  t.deepEqual(report.skipped, ['word_embeddings.pooler.dense.weight', 'word_embeddings.pooler.dense.bias']);
  return output;
}

test('a whole model becomes a model directory that gives its emissions and transitions', async (t) => {
  const directory = await imported(t);
  const { description } = await readModelDirectory(directory);
  t.deepEqual(description.labels, ['T', 'LOC', 'ORG', 'PER']);
  const { tags } = new TagSet(description.labels, 'BIO');
  const order = tags.map((tag) => TAGS.indexOf(tag.replace('-', '_')));

  const file = join(directory, 'model.safetensors');
  const { tensors } = await readSafetensorsHeader(file);
  const weight = async (name: string) => {
    const info = tensors.find((candidate) => candidate.name === name);
    if (!info) throw new Error(name);
    return { shape: info.shape, data: await readTensor(file, info) };
  };
  const lstm = [];
  for (const suffix of ['', '_reverse']) {
    for (const part of ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']) {
      const { shape, data } = await weight(`bilstm.${part}${suffix}`);
      lstm.push(tensor(shape, data, 'float32'));
    }
  }
  const { rows } = expected;
  const states = numbers(
    call('bilstm', [
      tensor([rows.length, rows[0].length], rows.flat(), 'float32'),
      int32([0, rows.length]),
      ...lstm,
    ]).outputs[0],
  );
  const [classifier, bias] = [await weight('classifier.weight'), await weight('classifier.bias')];
  const width = classifier.shape[1];
  const emissions = rows.flatMap((_, row) =>
    order.map((_, tag) =>
      Array.from(
        { length: width },
        (_, k) => states[row * width + k] * classifier.data[tag * width + k],
      ).reduce((a, b) => a + b, bias.data[tag]),
    ),
  );
  t.true(
    largestDifference(
      emissions,
      expected.emissions.flatMap((row) => order.map((tag) => row[tag])),
    ) < 1e-5,
  );
  const { transitions } = expected;
  const cells = order.flatMap((from) => order.map((to) => Math.fround(transitions[from][to])));
  t.deepEqual([...(await weight('crf.transitions')).data], cells);
  const start = order.map((to) => Math.fround(transitions[9][to]));
  t.deepEqual([...(await weight('crf.start_transitions')).data], start);
  t.deepEqual(
    [...(await weight('crf.end_transitions')).data],
    order.map((from) => Math.fround(transitions[from][10])),
  );
});

test('an imported model predicts', async (t) => {
  const ner = await AlbertNer.load(await imported(t), { device: 'cpu', threads: 1 });
  const text = '一丁丂七';
  const { entities } = await ner.predict(text);
  for (const { start, end, text: found } of entities) t.is(text.slice(start, end), found);
  await ner.dispose();
});

test('tags of another order or number are given by name', async (t) => {
  const own = ['O', 'B-A', 'I-A', 'B-B', 'I-B', 'B-C', 'I-C', 'B-D', 'I-D'];
  const { description } = await readModelDirectory(await imported(t, own));
  t.deepEqual(description.labels, ['A', 'B', 'C', 'D']);
  const input = await userFolder(t);
  for (const tags of [
    own.slice(1),
    ['X', ...own.slice(1)],
    ['O', ...own.slice(1, 8), 'B-E'],
    own.with(1, 'S-A'),
  ]) {
    const options = { input: join(input, 'params.pkl'), output: join(input, 'out'), tags };
    await t.throwsAsync(convertCheckpoint(options), { code: 'ERR_LABELS_MISMATCH', message: /--tags/ });
  }
});
