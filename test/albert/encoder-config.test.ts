import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import {
  type EncoderConfig,
  parseHuggingFaceConfig,
  readEncoderPreset,
  toHuggingFaceConfig,
} from '../../albert/encoder-config.js';
import { canonicalTensors, selectEncoderTensors } from '../../albert/name-map.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';

const parameters = (config: EncoderConfig) =>
  [...canonicalTensors(config).values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);

test('every published size loads with the parameters it is known to have', async (t) => {
  const known: Record<string, number> = {
    'google-tiny': 3_982_864,
    'google-base': 9_957_376,
    'google-large': 15_498_752,
    'bright-tiny': 4_077_496,
    'bright-base': 10_286_848,
    'bright-large': 15_960_064,
  };
  const names = (await readdir(join(repoRoot, 'albert', 'configs'))).map((name) => name.replace('.json', ''));
  t.is(names.length, 13);
  for (const name of names) {
    const config = await readEncoderPreset(name);
    t.is(config.layout, name.startsWith('bright') ? 'bright' : 'google');
    if (known[name]) t.is(parameters(config), known[name], name);
  }
  t.is((await readEncoderPreset('google-xxlarge')).headCount, 16);
  t.is((await readEncoderPreset('bright-xxlarge')).layerNormPlacement, 'pre');
});

test('an unknown preset lists those there are', async (t) => {
  await t.throwsAsync(readEncoderPreset('huge'), { code: 'ERR_MODEL_NOT_FOUND', message: /google-base/ });
  const file = join(await temporaryFolder(t), 'own.json');
  await writeFile(file, '{"hidden_size": 96, "num_attention_heads": 4, "hidden_act": "silu"}');
  t.like(await readEncoderPreset(file), { hiddenSize: 96, activation: 'silu', layerCount: 12 });
  await writeFile(file, '{');
  await t.throwsAsync(readEncoderPreset(file), { code: 'ERR_CHECKPOINT_UNREADABLE' });
});

test('activations are what Hugging Face computes under their names', (t) => {
  const activation = (hidden_act?: string) => parseHuggingFaceConfig({ hidden_act }, 'f').activation;
  t.deepEqual(['gelu', 'gelu_new', 'relu', 'swish', undefined].map(activation), [
    'gelu_erf',
    'gelu_tanh',
    'relu',
    'silu',
    'gelu_tanh',
  ]);
});

test('configs survive writing and reading in both layouts', async (t) => {
  for (const name of ['google-base', 'bright-xxlarge', 'mini']) {
    const config = await readEncoderPreset(name);
    const written = JSON.parse(JSON.stringify(toHuggingFaceConfig(config)));
    t.deepEqual(parseHuggingFaceConfig(written, 'f'), config);
    t.is('albert_ner' in written, name.startsWith('bright'));
  }
});

test('configs of other architectures are refused with the key', (t) => {
  const wrong: [Record<string, unknown>, string][] = [
    [{ model_type: 'bert' }, 'model_type'],
    [{ position_embedding_type: 'relative_key' }, 'position_embedding_type'],
    [{ inner_group_num: 2 }, 'inner_group_num'],
    [{ hidden_act: 'mish' }, 'hidden_act'],
    [{ hidden_size: 100, num_attention_heads: 12 }, 'num_attention_heads'],
    [{ hidden_size: 0 }, 'hidden_size'],
    [{ hidden_size: 'wide' }, 'hidden_size'],
    [{ num_hidden_groups: 13 }, 'num_hidden_groups'],
    [{ albert_ner: { format: 2 } }, 'albert_ner.format'],
    [{ albert_ner: { format: 1, layout: 'blue' } }, 'albert_ner.layout'],
  ];
  for (const [json, key] of wrong) {
    const error = t.throws(() => parseHuggingFaceConfig(json, 'config.json'), {
      code: 'ERR_CHECKPOINT_MISMATCH',
    });
    t.is((error as unknown as { details: { key: string } }).details.key, key);
  }
  t.throws(() => parseHuggingFaceConfig([], 'f'), { code: 'ERR_CHECKPOINT_MISMATCH' });
});

test('tensors are found under prefixes and old names, others are reported', async (t) => {
  const config = { ...(await readEncoderPreset('mini')), vocabSize: 50 };
  const canonical = [...canonicalTensors(config)].map(([name, shape]) => ({
    name,
    shape,
    dtype: 'F32',
    begin: 0,
    end: 0,
  }));
  const names = canonical.map(({ name }) => name);
  for (const prefix of ['', 'albert.', 'bert.', 'module.albert.', 'model.']) {
    const available = [
      ...canonical.map((tensor) => ({
        ...tensor,
        name:
          prefix +
          tensor.name.replace(/(LayerNorm)\.weight$/, '$1.gamma').replace(/(LayerNorm)\.bias$/, '$1.beta'),
      })),
      { name: `${prefix}pooler.weight`, shape: [1], dtype: 'F32', begin: 0, end: 0 },
      { name: 'predictions.bias', shape: [1], dtype: 'F32', begin: 0, end: 0 },
      { name: 'strange', shape: [1], dtype: 'F32', begin: 0, end: 0 },
    ];
    const { tensors, unknown } = selectEncoderTensors(available, config, 'f');
    t.deepEqual(
      tensors.map(({ name }) => name),
      names,
    );
    t.deepEqual(unknown, ['strange']);
  }
  const missing = t.throws(() => selectEncoderTensors(canonical.slice(2), config, 'f'), {
    code: 'ERR_CHECKPOINT_MISMATCH',
  });
  t.regex(missing.message, /embeddings\.word_embeddings\.weight, embeddings\.position_embeddings\.weight/);
  const shapes = t.throws(() => selectEncoderTensors(canonical, { ...config, vocabSize: 51 }, 'f'));
  t.regex(shapes?.message ?? '', /\[50, 96\] instead of \[51, 96\]/);
});
