/**
 * The shape of an encoder, in the project's own explicit terms, and its way from and to the config.json of a Hugging
 * Face folder. Activation, head count and layer-norm placement can't be read off weights, so they are never guessed.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AlbertNerError } from '../lib/errors.js';
import { isLfsPointer, LFS_REMEDY } from '../lib/files.js';

/**
 * Of any encoder. Unlike every other size the number of layers is none of a tensor's, so where layers share weights no file bounds
 * it. The addon has the same limit.
 */
export const MAX_LAYERS = 1024;

export interface EncoderConfig {
  /** Where positions and types are added: google in the embedding width, bright in the hidden width. */
  layout: 'google' | 'bright';
  vocabSize: number;
  embeddingSize: number;
  hiddenSize: number;
  layerCount: number;
  /** Groups of layers that share weights; layer k uses group floor(k * groups / layers). */
  groupCount: number;
  headCount: number;
  intermediateSize: number;
  activation: 'gelu_erf' | 'gelu_tanh' | 'relu' | 'silu';
  layerNormPlacement: 'post' | 'pre';
  layerNormEps: number;
  /** Standard deviation of random weights. */
  initializerRange: number;
  maxPosition: number;
  typeVocabSize: number;
}

/** What "hidden_act" of a Hugging Face config computes there. */
const HUGGING_FACE_ACTIVATIONS: Readonly<Record<string, EncoderConfig['activation']>> = {
  gelu: 'gelu_erf',
  gelu_new: 'gelu_tanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
};

/** The name of each activation in a Hugging Face config. */
const HUGGING_FACE_NAMES: Readonly<Record<EncoderConfig['activation'], string>> = {
  gelu_erf: 'gelu',
  gelu_tanh: 'gelu_new',
  relu: 'relu',
  silu: 'silu',
};

/** Values the Hugging Face class assumes for missing keys. */
const HUGGING_FACE_DEFAULTS = {
  vocab_size: 30_000,
  embedding_size: 128,
  hidden_size: 4096,
  num_hidden_layers: 12,
  num_hidden_groups: 1,
  num_attention_heads: 64,
  intermediate_size: 16_384,
  inner_group_num: 1,
  max_position_embeddings: 512,
  type_vocab_size: 2,
} as const;

/** The key under which a config.json carries what Hugging Face has no key for. */
const OWN_KEY = 'albert_ner';
const OWN_FORMAT = 1;

/**
 * Reads a config.json. Throws ERR_CHECKPOINT_MISMATCH with file and key: another model type, relative positions, inner
 * groups, sizes that don't fit together.
 */
export function parseHuggingFaceConfig(json: unknown, file: string): EncoderConfig {
  const fail = (key: string, expected: string, received: unknown) =>
    new AlbertNerError(
      'ERR_CHECKPOINT_MISMATCH',
      `Expected ${expected} for ${key} in ${file} but received ${JSON.stringify(received)}`,
      { details: { file, key, reason: 'E_CONFIG' } },
    );
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw fail('config', 'an object', json);
  const values = json as Record<string, unknown>;
  const own = ownSettings(values[OWN_KEY], fail);
  const size = (key: keyof typeof HUGGING_FACE_DEFAULTS): number => {
    const value = Number(values[key] ?? HUGGING_FACE_DEFAULTS[key]);
    if (!Number.isInteger(value) || value < 1 || value > 2 ** 31)
      throw fail(key, 'a positive integer', values[key]);
    return value;
  };
  if (values.model_type !== undefined && values.model_type !== 'albert') {
    throw fail('model_type', '"albert"', values.model_type);
  }
  if ((values.position_embedding_type ?? 'absolute') !== 'absolute') {
    throw fail('position_embedding_type', '"absolute"', values.position_embedding_type);
  }
  if (size('inner_group_num') !== 1) throw fail('inner_group_num', '1', values.inner_group_num);
  const activation = HUGGING_FACE_ACTIVATIONS[String(values.hidden_act ?? 'gelu_new')];
  if (activation === undefined) {
    throw fail('hidden_act', Object.keys(HUGGING_FACE_ACTIVATIONS).join(', '), values.hidden_act);
  }
  const layerNormEps = Number(values.layer_norm_eps ?? 1e-12);
  if (!(layerNormEps > 0 && layerNormEps < 1))
    throw fail('layer_norm_eps', 'a small positive number', layerNormEps);
  const initializerRange = Number(values.initializer_range ?? 0.02);
  if (!(initializerRange > 0 && initializerRange <= 1))
    throw fail('initializer_range', 'a number in (0, 1]', values.initializer_range);
  if (size('num_hidden_layers') > MAX_LAYERS)
    throw fail('num_hidden_layers', `at most ${MAX_LAYERS}`, values.num_hidden_layers);
  const config: EncoderConfig = {
    layout: own.layout ?? 'google',
    vocabSize: size('vocab_size'),
    embeddingSize: size('embedding_size'),
    hiddenSize: size('hidden_size'),
    layerCount: size('num_hidden_layers'),
    groupCount: size('num_hidden_groups'),
    headCount: size('num_attention_heads'),
    intermediateSize: size('intermediate_size'),
    activation,
    layerNormPlacement: own.layerNormPlacement ?? 'post',
    layerNormEps,
    initializerRange,
    maxPosition: size('max_position_embeddings'),
    typeVocabSize: size('type_vocab_size'),
  };
  if (config.hiddenSize % config.headCount !== 0) {
    throw fail('num_attention_heads', `a divisor of hidden_size ${config.hiddenSize}`, config.headCount);
  }
  if (config.groupCount > config.layerCount) {
    throw fail('num_hidden_groups', `at most num_hidden_layers ${config.layerCount}`, config.groupCount);
  }
  return config;
}

interface OwnSettings {
  layout?: EncoderConfig['layout'];
  layerNormPlacement?: EncoderConfig['layerNormPlacement'];
}

function ownSettings(
  value: unknown,
  fail: (key: string, expected: string, received: unknown) => AlbertNerError,
): OwnSettings {
  if (value === undefined) return {};
  const { format, layout, layer_norm_placement: placement } = (value ?? {}) as Record<string, unknown>;
  if (format !== OWN_FORMAT) throw fail(`${OWN_KEY}.format`, String(OWN_FORMAT), format);
  if (layout !== 'google' && layout !== 'bright')
    throw fail(`${OWN_KEY}.layout`, '"google" or "bright"', layout);
  if (placement !== 'post' && placement !== 'pre') {
    throw fail(`${OWN_KEY}.layer_norm_placement`, '"post" or "pre"', placement);
  }
  return { layout, layerNormPlacement: placement };
}

/**
 * The config.json of an encoder folder. For the google layout with layer norms after the blocks it is one that
 * transformers loads; other encoders carry their settings under "albert_ner", and no other program can run them.
 */
export function toHuggingFaceConfig(config: EncoderConfig): Record<string, unknown> {
  const plain = config.layout === 'google' && config.layerNormPlacement === 'post';
  return {
    architectures: ['AlbertModel'],
    model_type: 'albert',
    vocab_size: config.vocabSize,
    embedding_size: config.embeddingSize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.layerCount,
    num_hidden_groups: config.groupCount,
    inner_group_num: 1,
    num_attention_heads: config.headCount,
    intermediate_size: config.intermediateSize,
    hidden_act: HUGGING_FACE_NAMES[config.activation],
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    max_position_embeddings: config.maxPosition,
    type_vocab_size: config.typeVocabSize,
    initializer_range: config.initializerRange,
    layer_norm_eps: config.layerNormEps,
    pad_token_id: 0,
    ...(plain
      ? {}
      : {
          [OWN_KEY]: {
            format: OWN_FORMAT,
            layout: config.layout,
            layer_norm_placement: config.layerNormPlacement,
          },
        }),
  };
}

/** The folder of the published sizes, from dist/albert and from albert alike. */
const CONFIGS = fileURLToPath(new URL('../../albert/configs', import.meta.url));

/** Names of the configs in albert/configs. */
export async function encoderPresets(): Promise<string[]> {
  return (await readdir(CONFIGS)).map((name) => name.replace(/\.json$/, '')).sort();
}

/** A config by its name in albert/configs, or from a JSON file. ERR_MODEL_NOT_FOUND lists the names there are. */
export async function readEncoderPreset(nameOrFile: string): Promise<EncoderConfig> {
  const { file, json } = await readEncoderPresetJson(nameOrFile);
  return parseHuggingFaceConfig(json, file);
}

/** The same as its file has it. */
export async function readEncoderPresetJson(nameOrFile: string): Promise<{ file: string; json: unknown }> {
  const names = await encoderPresets();
  const file = names.includes(nameOrFile) ? join(CONFIGS, `${nameOrFile}.json`) : nameOrFile;
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new AlbertNerError(
      'ERR_MODEL_NOT_FOUND',
      `Expected a file or one of ${names.join(', ')} for the encoder config but received ${JSON.stringify(nameOrFile)}`,
      { details: { file: nameOrFile }, cause },
    );
  }
  return { file, json: parseJson(text, file) };
}

/** Throws ERR_CHECKPOINT_UNREADABLE with the file when the text isn't JSON. */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = isLfsPointer(Buffer.from(text)) ? LFS_REMEDY : (cause as Error).message;
    throw new AlbertNerError('ERR_CHECKPOINT_UNREADABLE', `${file} is not JSON: ${why}`, {
      details: { file, reason: 'E_JSON' },
      cause,
    });
  }
}
