import { appendFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { writeSafetensors } from '../../albert/convert/safetensors.js';
import type { EncoderConfig } from '../../albert/encoder-config.js';
import { canonicalTensors } from '../../albert/name-map.js';
import { AlbertNerError, type ErrorCode } from '../../lib/errors.js';
import {
  type ConversionReport,
  type ConvertOptions,
  convertCheckpoint,
} from '../../lib/model/convert-checkpoint.js';
import { encoderFingerprint } from '../../lib/model/encoder-fingerprint.js';
import { readEncoderFolder } from '../../lib/model/encoder-folder.js';
import { nativeEncoderConfig } from '../../lib/model/native-config.js';
import { referenceStates } from '../support/albert-reference.js';
import {
  goldenConfig,
  goldenStates,
  goldenTensors,
  type PlainTensor,
  randomTensors,
  type Sharing,
  toPyTorchNames,
  toTensorFlow,
  toTorch,
  withTraining,
} from '../support/foreign-encoders.js';
import { addon, largestDifference } from '../support/native.js';
import { fixture, temporaryFolder } from '../support/paths.js';
import { storage, torchLegacy, torchZip } from '../support/pytorch-writer.js';
import { writeBundle } from '../support/tf-bundle-writer.js';

/** Hidden states of sequences without special tokens, through the addon. */
async function nativeStates(
  t: ExecutionContext,
  folder: string,
  sequences: readonly number[][],
): Promise<Float32Array> {
  const { config, vocab, weights, warnings } = await readEncoderFolder(folder);
  t.deepEqual(warnings, []);
  const session = new addon.Session({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
  const offsets = [0];
  for (const ids of sequences) offsets.push((offsets.at(-1) as number) + ids.length);
  return session.encode({ ids: Int32Array.from(sequences.flat()), offsets: Int32Array.from(offsets) });
}

async function withVocab(folder: string, name = 'vocab.txt'): Promise<void> {
  await mkdir(folder, { recursive: true });
  await copyFile(fixture('albert', 'bright-post', 'vocab.txt'), join(folder, name));
}

/** TensorFlow's config of a golden encoder. */
async function tensorFlowConfig(golden: string, hiddenAct: string): Promise<Record<string, unknown>> {
  const { model_type: _, architectures: __, albert_ner: own, ...rest } = await goldenConfig(golden);
  const placement = (own as { layer_norm_placement?: string } | undefined)?.layer_norm_placement;
  return { ...rest, hidden_act: hiddenAct, ...(placement ? { ln_type: `${placement}ln` } : {}) };
}

const writeJson = (file: string, value: unknown) => writeFile(file, JSON.stringify(value));

async function convert(t: ExecutionContext, input: string, options: Partial<ConvertOptions> = {}) {
  const output = join(await temporaryFolder(t), 'encoder');
  return { output, report: await convertCheckpoint({ input, output, ...options }) };
}

async function assertGolden(t: ExecutionContext, golden: string, output: string): Promise<void> {
  const { sequences, hidden } = await goldenStates(golden);
  const actual = await nativeStates(t, output, sequences);
  t.true(largestDifference(actual, hidden.flat()) < 1e-5, golden);
}

interface Case {
  golden: string;
  /** "gelu" and so on, in the words of the program that wrote the weights. */
  hiddenAct: string;
  sharing: Sharing | 'google';
}

const TENSORFLOW: Case[] = [
  { golden: 'google-gelu-new', hiddenAct: 'gelu', sharing: 'google' },
  { golden: 'google-relu-groups', hiddenAct: 'relu', sharing: 'google' },
  { golden: 'google-one-layer', hiddenAct: 'gelu', sharing: 'google' },
  { golden: 'bright-post', hiddenAct: 'gelu', sharing: 'all' },
  { golden: 'bright-pre', hiddenAct: 'gelu', sharing: 'all' },
];

for (const { golden, hiddenAct, sharing } of TENSORFLOW) {
  test(`a TensorFlow checkpoint of ${golden} gives the hidden states it must, with and without training's variables`, async (t) => {
    const tensors = toTensorFlow(await goldenTensors(golden), sharing);
    for (const variables of [tensors, withTraining(tensors)]) {
      const folder = await temporaryFolder(t);
      await withVocab(folder, 'vocab_chinese.txt');
      await writeJson(join(folder, 'albert_config.json'), await tensorFlowConfig(golden, hiddenAct));
      const prefix = await writeBundle(join(folder, 'model.ckpt-best'), variables);
      for (const input of [folder, prefix, `${prefix}.index`, `${prefix}.data-00000-of-00001`]) {
        const { output, report } = await convert(t, input);
        if (input === prefix) await assertGolden(t, golden, output);
        t.is(report.format, 'tensorflow');
        t.is(report.skipped.length, variables.length - tensors.length);
        t.deepEqual(report.unknown, []);
        t.is(report.used.length, tensors.length);
      }
    }
  });
}

const PYTORCH: Case[] = [
  { golden: 'google-gelu', hiddenAct: 'gelu', sharing: 'google' },
  { golden: 'google-relu-groups', hiddenAct: 'relu', sharing: 'google' },
];

for (const { golden, hiddenAct, sharing } of PYTORCH) {
  test(`PyTorch files of ${golden} under other programs' names give the hidden states they must`, async (t) => {
    const tensors = toPyTorchNames(await goldenTensors(golden), sharing);
    const folder = await temporaryFolder(t);
    await withVocab(folder);
    await writeJson(join(folder, 'albert_config_tiny.json'), await tensorFlowConfig(golden, hiddenAct));
    await writeFile(join(folder, 'zip.bin'), torchZip(toTorch(tensors)));
    await writeFile(join(folder, 'legacy.bin'), torchLegacy(toTorch(tensors)));
    for (const name of ['zip.bin', 'legacy.bin']) {
      const { output, report } = await convert(t, join(folder, name));
      t.is(report.config.dialect, 'pytorch');
      await assertGolden(t, golden, output);
    }
  });
}

for (const golden of ['bright-post', 'bright-pre']) {
  test(`a PyTorch file of ${golden} gives the hidden states it must`, async (t) => {
    const folder = await temporaryFolder(t);
    await withVocab(folder);
    await writeJson(join(folder, 'albert_config.json'), await tensorFlowConfig(golden, 'gelu'));
    await writeFile(
      join(folder, 'params.bin'),
      torchZip(toTorch(toPyTorchNames(await goldenTensors(golden), 'all'))),
    );
    const { report } = await convert(t, folder);
    t.is(report.encoder.activation, 'gelu_erf');
    const { output } = await convert(t, folder, { overrides: { activation: 'gelu_tanh' } });
    await assertGolden(t, golden, output);
  });
}

test('Hugging Face folders convert from safetensors and both PyTorch layouts, under any prefix', async (t) => {
  const golden = 'google-gelu';
  const tensors = await goldenTensors(golden);
  for (const prefix of ['', 'albert.', 'module.', 'module.albert.', 'model.', 'model.bert.', 'bert.']) {
    const named = tensors.map((tensor) => ({ ...tensor, name: prefix + tensor.name }));
    const folder = await temporaryFolder(t);
    await withVocab(folder);
    await writeJson(join(folder, 'config.json'), await goldenConfig(golden));
    await writeFile(join(folder, 'pytorch_model.bin'), torchLegacy(toTorch(named)));
    await assertGolden(t, golden, (await convert(t, folder)).output);
    await writeSafetensors(join(folder, 'model.safetensors'), named);
    const { output, report } = await convert(t, folder);
    t.is(report.format, 'safetensors');
    await assertGolden(t, golden, output);
  }
});

test('TensorFlow Hub modules and saved models have their variables in a folder', async (t) => {
  const golden = 'google-gelu-new';
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeJson(join(folder, 'albert_config.json'), await tensorFlowConfig(golden, 'gelu'));
  const tensors = toTensorFlow(await goldenTensors(golden), 'google');
  const named = tensors.map((tensor) => ({ ...tensor, name: `module/${tensor.name}` }));
  await writeBundle(join(folder, 'variables', 'variables'), named);
  await assertGolden(t, golden, (await convert(t, folder)).output);
  await assertGolden(t, golden, (await convert(t, join(folder, 'variables', 'variables'))).output);
});

const CONFIG: EncoderConfig = {
  layout: 'bright',
  vocabSize: 60,
  embeddingSize: 8,
  hiddenSize: 12,
  layerCount: 3,
  groupCount: 3,
  headCount: 3,
  intermediateSize: 20,
  activation: 'gelu_tanh',
  layerNormPlacement: 'post',
  layerNormEps: 1e-12,
  initializerRange: 0.02,
  maxPosition: 32,
  typeVocabSize: 2,
};
const SEQUENCES = [[7, 12, 9, 30, 55, 8], [41], [10, 11, 12]];

/** Weights of a sharing: shared parts equal in all groups. */
function shared(tensors: readonly PlainTensor[], sharing: Sharing): PlainTensor[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return tensors.map((tensor) => {
    const isAttention = tensor.name.includes('.attention.');
    const isShared = sharing === 'all' || sharing === (isAttention ? 'attention' : 'ffn');
    const first = byName.get(tensor.name.replace(/groups\.\d+/, 'groups.0')) as PlainTensor;
    return isShared ? { ...first, name: tensor.name } : tensor;
  });
}

function assertReference(
  t: ExecutionContext,
  config: EncoderConfig,
  tensors: PlainTensor[],
  actual: Float32Array,
): void {
  const expected = SEQUENCES.flatMap((ids) =>
    referenceStates(config, tensors, [2, ...ids, 3])
      .slice(1, -1)
      .flat(),
  );
  t.true(largestDifference(actual, expected) < 1e-5);
}

const PLACEMENTS = ['post', 'pre'] as const;

for (const sharing of ['all', 'attention', 'ffn', 'none'] as const) {
  test(`the bright layout with sharing ${sharing} equals a scalar reference in float64, from both programs' files`, async (t) => {
    const tensors = shared(randomTensors(canonicalTensors(CONFIG), 5), sharing);
    for (const placement of PLACEMENTS) {
      const folder = await temporaryFolder(t);
      await withVocab(folder);
      const json = {
        num_attention_heads: 3,
        num_hidden_layers: 3,
        hidden_act: 'gelu',
        ln_type: `${placement}ln`,
      };
      await writeJson(join(folder, 'albert_config.json'), json);
      await writeBundle(join(folder, 'm.ckpt'), toTensorFlow(tensors, sharing));
      const file = join(folder, 'm.pt');
      await writeFile(file, torchZip(toTorch(toPyTorchNames(tensors, sharing))));
      for (const input of [join(folder, 'm.ckpt'), file]) {
        const { output, report } = await convert(t, input, { overrides: { activation: 'gelu_tanh' } });
        t.is(report.encoder.groupCount, sharing === 'all' ? 1 : 3);
        const actual = await nativeStates(t, output, SEQUENCES);
        assertReference(t, { ...CONFIG, layerNormPlacement: placement }, tensors, actual);
      }
    }
  });
}

test('a google checkpoint without a mapping, since E = D, gets the identity; so bright equals it', async (t) => {
  const bright = randomTensors(canonicalTensors({ ...CONFIG, groupCount: 1 }), 6);
  const get = (name: string) => bright.find((tensor) => tensor.name === name) as PlainTensor;
  const [words, projection] = [
    get('embeddings.word_embeddings.weight'),
    get('embeddings.word_embeddings_2.weight'),
  ];
  const [E, D] = [8, 12];
  const product = Float32Array.from({ length: 60 * D }, (_, k) => {
    const [row, column] = [Math.floor(k / D), k % D];
    return Array.from(
      { length: E },
      (_, e) => words.data[row * E + e] * projection.data[column * E + e],
    ).reduce((a, b) => a + b);
  });
  const wide = bright
    .filter(({ name }) => name !== projection.name)
    .map((tensor) => (tensor === words ? { ...tensor, shape: [60, D], data: product } : tensor));
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeJson(join(folder, 'albert_config.json'), {
    num_attention_heads: 3,
    num_hidden_layers: 3,
    hidden_act: 'gelu',
  });
  await writeBundle(join(folder, 'm'), toTensorFlow(wide, 'google'));
  const { output, report } = await convert(t, folder);
  t.like(report.encoder, { layout: 'google', embeddingSize: D, hiddenSize: D });
  t.deepEqual(
    report.used.filter(({ source }) => source === null).map(({ name }) => name),
    ['encoder.embedding_hidden_mapping_in.weight', 'encoder.embedding_hidden_mapping_in.bias'],
  );
  const actual = await nativeStates(t, output, SEQUENCES);
  assertReference(t, { ...CONFIG, groupCount: 1 }, bright, actual);
});

async function brightFolder(t: ExecutionContext, config: Record<string, unknown> | null): Promise<string> {
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  if (config) await writeJson(join(folder, 'albert_config.json'), config);
  await writeBundle(join(folder, 'm'), toTensorFlow(await goldenTensors('bright-post'), 'all'));
  return folder;
}

test('half-precision and float64 weights become float32', async (t) => {
  const tensors = await goldenTensors('google-gelu');
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeJson(join(folder, 'config.json'), await goldenConfig('google-gelu'));
  await writeSafetensors(join(folder, 'model.safetensors'), tensors, { dtype: 'F16' });
  const { output, report } = await convert(t, folder);
  t.true(report.used.every(({ dtype }) => dtype === 'F16'));
  t.true((await readFile(join(output, 'model.safetensors'))).includes('"F32"'));
});

async function refusal(
  t: ExecutionContext,
  promise: Promise<unknown>,
  code: ErrorCode,
  reason?: string,
): Promise<AlbertNerError> {
  const error = (await t.throwsAsync(promise, { instanceOf: AlbertNerError })) as AlbertNerError;
  t.is(error.code, code, error.message);
  if (reason) t.is(error.details.reason, reason, error.message);
  return error;
}

test('what shapes contradict in a config is named with both numbers', async (t) => {
  const base = await tensorFlowConfig('bright-post', 'gelu');
  const wrong: [Record<string, unknown>, RegExp][] = [
    [{ hidden_size: 768 }, /hidden_size is 768 but the weights have 24/],
    [{ vocab_size: 21128 }, /vocab_size is 21128 but the weights have 60/],
    [
      { embedding_size: 128, intermediate_size: 4 },
      /embedding_size is 128 .* 16; intermediate_size is 4 .* 40/,
    ],
    [{ num_attention_heads: 5 }, /num_attention_heads|5 heads/],
    [{ num_hidden_groups: 2 }, /num_hidden_groups is 2 but the weights have 1/],
    [{ hidden_act: 'gelu_new' }, /hidden_act/],
    [{ hidden_act: undefined }, /hidden_act is missing/],
    [{ ln_type: 'sideln' }, /ln_type/],
    [{ num_hidden_layers: undefined }, /num_hidden_layers/],
  ];
  for (const [change, message] of wrong) {
    const folder = await brightFolder(t, { ...base, ...change });
    const error = await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_MISMATCH', 'E_CONFIG');
    t.regex(error.message, message);
  }
});

test('without a config nothing is guessed, and published sizes are named', async (t) => {
  const folder = await brightFolder(t, null);
  const error = await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_MISMATCH', 'E_CONFIG_MISSING');
  t.regex(error.message, /--heads, --layers, --activation, --layer-norm/);
  const overrides = {
    headCount: 4,
    layerCount: 3,
    activation: 'gelu_tanh',
    layerNormPlacement: 'post',
  } as const;
  await assertGolden(t, 'bright-post', (await convert(t, folder, { overrides })).output);
  const { ln_type: _, ...rest } = await tensorFlowConfig('bright-post', 'gelu');
  const { report } = await convert(t, await brightFolder(t, rest));
  t.regex(report.warnings[0], /no ln_type/);
});

test('of several configs the one that fits is taken', async (t) => {
  const base = await tensorFlowConfig('bright-post', 'gelu');
  const folder = await brightFolder(t, { ...base, hidden_size: 768 });
  await writeJson(join(folder, 'albert_config_tiny.json'), base);
  const { report } = await convert(t, folder);
  t.regex(report.config.file ?? '', /albert_config_tiny\.json$/);
  await writeJson(join(folder, 'albert_config_also.json'), base);
  await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_MISMATCH', 'E_CONFIG_MISSING');
});

test('a published size is a config, and PyTorch programs compute its gelu by erf', async (t) => {
  const config = {
    layout: 'bright',
    vocabSize: 60,
    embeddingSize: 128,
    hiddenSize: 312,
    intermediateSize: 1248,
  } as const;
  const tensors = randomTensors(
    canonicalTensors({ ...config, maxPosition: 512, typeVocabSize: 2, groupCount: 1 }),
    3,
  );
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeBundle(join(folder, 'm'), toTensorFlow(tensors, 'all'));
  await writeFile(join(folder, 'm.bin'), torchZip(toTorch(toPyTorchNames(tensors, 'all'))));
  const error = await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_MISMATCH', 'E_CONFIG_MISSING');
  t.deepEqual(error.details.presets, ['bright-tiny']);
  const trained = await convert(t, folder, { config: 'bright-tiny' });
  t.like(trained.report.encoder, { headCount: 12, layerCount: 4, activation: 'gelu_tanh', vocabSize: 60 });
  const torch = await convert(t, join(folder, 'm.bin'), { config: 'bright-tiny' });
  t.is(torch.report.encoder.activation, 'gelu_erf');
  t.regex(torch.report.warnings[0], /gelu_tanh/);
});

type Change = (tensors: ReturnType<typeof toTensorFlow>) => ReturnType<typeof toTensorFlow>;
const one = (name: string, shape = [1]) => ({
  name,
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
});

/** What is wrong, the variables, the reason. */
const STRANGERS: [string, Change, string][] = [
  ['nothing', () => [one('x')], 'E_ARCH_UNKNOWN'],
  ['a BERT', (all) => all.filter(({ name }) => !name.includes('word_embeddings_2')), 'E_ARCH_UNKNOWN'],
  [
    'marks of both layouts',
    (all) => [...all, one('bert/encoder/embedding_hidden_mapping_in/kernel')],
    'E_ARCH_UNKNOWN',
  ],
  [
    'both kinds of layers',
    (all) => [...all, one('bert/encoder/transformer/group_0/inner_group_0/LayerNorm/gamma')],
    'E_ARCH_UNKNOWN',
  ],
  ['embeddings only', (all) => all.filter(({ name }) => !name.includes('encoder')), 'E_ARCH_UNKNOWN'],
  ['a missing weight', (all) => all.filter(({ name }) => !name.endsWith('query/kernel')), 'E_NAMES'],
  [
    'a weight of another shape',
    (all) => all.map((tensor) => (tensor.name.endsWith('query/bias') ? one(tensor.name, [7]) : tensor)),
    'E_NAMES',
  ],
  [
    'a vector where a matrix belongs',
    (all) => all.map((tensor) => (tensor.name.endsWith('query/kernel') ? one(tensor.name, [24]) : tensor)),
    'E_NAMES',
  ],
  [
    'a name with a huge number',
    (all) => [...all, one('bert/encoder/layer_9999/output/dense/bias')],
    'E_NAMES',
  ],
  ['two names for one weight', (all) => [...all, one('bert/embeddings/LayerNorm/weight', [24])], 'E_NAMES'],
  [
    'grouped feed-forward layers',
    (all) =>
      all.map((tensor) =>
        tensor.name.endsWith('intermediate/dense/kernel') ? one(tensor.name, [2, 2, 16]) : tensor,
      ),
    'E_ARCH_GROUPED_FFN',
  ],
];

for (const [what, change, reason] of STRANGERS) {
  test(`a checkpoint with ${what} is refused and leaves no config`, async (t) => {
    const folder = await temporaryFolder(t);
    await withVocab(folder);
    await writeJson(join(folder, 'albert_config.json'), await tensorFlowConfig('bright-post', 'gelu'));
    await writeBundle(join(folder, 'm'), change(toTensorFlow(await goldenTensors('bright-post'), 'all')));
    const output = join(folder, 'out');
    await refusal(t, convertCheckpoint({ input: folder, output }), 'ERR_CHECKPOINT_MISMATCH', reason);
    t.false((await readdir(folder)).includes('out') && (await readdir(output)).includes('config.json'));
  });
}

test('inner groups are refused, weights nobody knows are reported', async (t) => {
  const tensors = toTensorFlow(await goldenTensors('google-gelu-new'), 'google');
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeJson(join(folder, 'albert_config.json'), await tensorFlowConfig('google-gelu-new', 'gelu'));
  const prefix = join(folder, 'm');
  await writeBundle(prefix, [...tensors, one('bert/strange'), one('other')]);
  t.deepEqual((await convert(t, folder)).report.unknown, ['bert/strange', 'other']);
  await writeBundle(prefix, [
    ...tensors,
    one('bert/encoder/transformer/group_0/inner_group_1/LayerNorm/gamma'),
  ]);
  await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_MISMATCH', 'E_ARCH_INNER_GROUPS');
});

test('tensors of far more bytes than the file has, all tied to one storage, are refused', async (t) => {
  const shape = {
    ...CONFIG,
    layout: 'google' as const,
    embeddingSize: 64,
    hiddenSize: 64,
    intermediateSize: 64,
    groupCount: 8,
  };
  const used = storage('FloatStorage', new Float32Array(64 * 64));
  const tensors = [...canonicalTensors(shape)].map(([name, size]) => ({
    name,
    storage: used,
    size,
    stride: size.length === 2 ? [size[1], 1] : [1],
  }));
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeFile(join(folder, 'm.bin'), torchZip(tensors));
  await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_UNREADABLE', 'E_STORAGE_SIZE');
});

test('folders with nothing, too much or no vocabulary say so', async (t) => {
  const folder = await temporaryFolder(t);
  await refusal(t, convert(t, folder), 'ERR_MODEL_NOT_FOUND');
  await refusal(t, convert(t, join(folder, 'none')), 'ERR_MODEL_NOT_FOUND');
  await writeBundle(join(folder, 'a.ckpt'), []);
  await writeBundle(join(folder, 'b.ckpt'), toTensorFlow(await goldenTensors('bright-post'), 'all'));
  await writeJson(join(folder, 'albert_config.json'), await tensorFlowConfig('bright-post', 'gelu'));
  const several = await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_MISMATCH', 'E_SEVERAL');
  t.regex(several.message, /a\.ckpt, b\.ckpt/);
  await writeFile(join(folder, 'checkpoint'), 'model_checkpoint_path: "/elsewhere/b.ckpt"\n');
  const vocabulary = await refusal(t, convert(t, folder), 'ERR_MODEL_NOT_FOUND');
  t.regex(vocabulary.message, /--vocab/);
  await withVocab(folder);
  t.is((await convert(t, folder)).report.format, 'tensorflow');
  await writeFile(
    join(folder, 'vocab.txt'),
    `[PAD]\n[UNK]\n[CLS]\n[SEP]\n${Array.from({ length: 60 }, (_, k) => `t${k}\n`).join('')}`,
  );
  await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_MISMATCH', 'E_VOCAB');
  await writeFile(join(folder, 'vocab.txt'), '[PAD]\n[UNK]\n[CLS]\n[SEP]\n');
  t.regex((await convert(t, folder)).report.warnings[0], /4 entries but the embedding 60/);
  await rm(join(folder, 'a.ckpt.index'));
  await refusal(t, convertCheckpoint({ input: folder, output: folder }), 'ERR_INVALID_ARGUMENT');
});

test('files that no reader takes are told apart', async (t) => {
  const folder = await temporaryFolder(t);
  const tar = Buffer.alloc(1024);
  tar.write('ustar', 257);
  const files: [string, Buffer, string][] = [
    ['lfs', Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\n'), 'E_LFS_POINTER'],
    ['tar', tar, 'E_PT_TAR'],
    ['plain', Buffer.from([0x80, 2, 0x4e, 0x2e]), 'E_PICKLE_OPCODE'],
    ['newer', Buffer.from([0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x4e, 0x2e]), 'E_PICKLE_OPCODE'],
    ['hdf5', Buffer.from('\x89HDF\r\n\x1a\n and more bytes', 'latin1'), 'E_FORMAT'],
    ['text', Buffer.from('hello, this is no model'), 'E_FORMAT'],
    ['empty', Buffer.alloc(0), 'E_FORMAT'],
  ];
  for (const [name, bytes, reason] of files) {
    const file = join(folder, name);
    await writeFile(file, bytes);
    await refusal(t, convert(t, file), 'ERR_CHECKPOINT_UNREADABLE', reason);
  }
  const prefix = await writeBundle(join(folder, 'v1'), [one('x')]);
  await copyFile(`${prefix}.index`, join(folder, 'model.ckpt'));
  await refusal(t, convert(t, join(folder, 'model.ckpt')), 'ERR_CHECKPOINT_UNREADABLE', 'E_TF_V1');
  await writeFile(join(folder, 'pointer.index'), files[0][1]);
  await refusal(t, convert(t, join(folder, 'pointer')), 'ERR_CHECKPOINT_UNREADABLE', 'E_LFS_POINTER');
  const sharded = join(folder, 'sharded');
  await mkdir(sharded);
  await writeFile(join(sharded, 'model.safetensors.index.json'), '{}');
  await refusal(t, convert(t, sharded), 'ERR_CHECKPOINT_MISMATCH', 'E_SHARDED');
});

test('an encoder for transformers is one it loads, and bright is none', async (t) => {
  const { output, report } = await convert(t, fixture('albert', 'google-gelu'), { target: 'hf' });
  t.is(report.huggingFace, null);
  const json = JSON.parse(await readFile(join(output, 'config.json'), 'utf8'));
  t.like(json, { model_type: 'albert', hidden_act: 'gelu', num_attention_heads: 4 });
  t.false('albert_ner' in json);
  const error = await refusal(
    t,
    convert(t, fixture('albert', 'bright-post'), { target: 'hf' }),
    'ERR_CHECKPOINT_MISMATCH',
    'E_HF_LAYOUT',
  );
  t.regex(error.message, /hidden width/);
});

test('NaN is refused unless allowed, and equal input gives equal bytes', async (t) => {
  const tensors = await goldenTensors('google-gelu');
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeJson(join(folder, 'config.json'), await goldenConfig('google-gelu'));
  const file = join(folder, 'model.safetensors');
  await writeSafetensors(file, tensors);
  const [first, second] = [await convert(t, folder), await convert(t, folder)];
  t.deepEqual(first.report.weights, second.report.weights);
  const saved: ConversionReport = JSON.parse(await readFile(join(first.output, 'conversion.json'), 'utf8'));
  t.deepEqual(saved, JSON.parse(JSON.stringify(first.report)));
  t.is(saved.source.files[0].name, 'model.safetensors');
  tensors[3].data[1] = Number.NaN;
  await writeSafetensors(file, tensors);
  const error = await refusal(t, convert(t, folder), 'ERR_CHECKPOINT_UNREADABLE', 'E_NONFINITE');
  t.is(error.details.tensor, tensors[3].name);
  await t.notThrowsAsync(convert(t, folder, { allowNonFinite: true }));
});

test('an aborted conversion rejects and leaves no config', async (t) => {
  const folder = await temporaryFolder(t);
  const controller = new AbortController();
  const options = {
    input: fixture('albert', 'google-gelu'),
    output: join(folder, 'out'),
    signal: controller.signal,
  };
  const promise = convertCheckpoint({ ...options, onProgress: () => controller.abort() });
  await refusal(t, promise, 'ERR_ABORTED');
  t.false((await readdir(join(folder, 'out'))).includes('config.json'));
});

test('a conversion that fails leaves an older one as it was', async (t) => {
  const { output } = await convert(t, fixture('albert', 'google-gelu'));
  const before = await Promise.all((await readdir(output)).map((name) => readFile(join(output, name))));
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeJson(join(folder, 'config.json'), await goldenConfig('google-gelu'));
  const tensors = await goldenTensors('google-gelu');
  tensors[5].data[0] = Number.NaN;
  await writeSafetensors(join(folder, 'model.safetensors'), tensors);
  await refusal(t, convertCheckpoint({ input: folder, output }), 'ERR_CHECKPOINT_UNREADABLE', 'E_NONFINITE');
  t.deepEqual(await Promise.all((await readdir(output)).map((name) => readFile(join(output, name)))), before);
});

test('a checkpoint that changes while it is converted is refused', async (t) => {
  const folder = await temporaryFolder(t);
  await withVocab(folder);
  await writeJson(join(folder, 'config.json'), await goldenConfig('google-gelu'));
  const file = join(folder, 'model.safetensors');
  await writeSafetensors(file, await goldenTensors('google-gelu'));
  const onProgress = () => appendFileSync(file, 'x');
  await refusal(t, convert(t, folder, { onProgress }), 'ERR_CHECKPOINT_UNREADABLE', 'E_IO');
});

test('the fingerprint of an encoder is that of its weights', async (t) => {
  const { output } = await convert(t, fixture('albert', 'google-gelu'));
  const options = { threads: 1 };
  const [original, converted] = [
    await encoderFingerprint(fixture('albert', 'google-gelu'), options),
    await encoderFingerprint(output, options),
  ];
  t.deepEqual(converted, original);
  t.true(converted.units > 10 && converted.rms > 0 && converted.first.length === 4);
  t.notDeepEqual(
    (await encoderFingerprint(fixture('albert', 'google-gelu-new'), options)).first,
    original.first,
  );
});
