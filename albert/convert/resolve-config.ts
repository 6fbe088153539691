/**
 * The config of an encoder that is converted: read from the file beside the weights in the dialect of the program that
 * wrote them, completed and checked by the shapes. Heads, layers, activation and the place of the layer norms stand in no
 * shape; where no file tells them they must be given, and are never guessed.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AlbertNerError } from '../../lib/errors.js';
import {
  type EncoderConfig,
  encoderPresets,
  parseHuggingFaceConfig,
  parseJson,
  readEncoderPreset,
  readEncoderPresetJson,
} from '../encoder-config.js';
import { readSmallText } from './checkpoint-file.js';
import type { CheckpointFormat } from './stored-tensor.js';
import type { EncoderSizes, Structure } from './structure.js';

/** What the user says, against any file. */
export interface ConfigOverrides {
  activation?: EncoderConfig['activation'];
  headCount?: number;
  layerCount?: number;
  layerNormPlacement?: EncoderConfig['layerNormPlacement'];
}

/** Whose words a config uses: "gelu" is computed in two ways. */
export type ConfigDialect = 'huggingface' | 'tensorflow' | 'pytorch';

export interface ConfigFile {
  /** The file, or the name of a published size. */
  file: string;
  /** A name of albert/configs. */
  isPreset: boolean;
  json: Record<string, unknown>;
}

export interface ResolvedConfig {
  config: EncoderConfig;
  /** Null when everything was given. */
  file: string | null;
  dialect: ConfigDialect | null;
  warnings: string[];
}

const OWN_NAME = 'config.json';
const TENSORFLOW_NAME = /^(albert|bert)_config.*\.json$/;
const MAX_CONFIG_BYTES = 1 << 20;

const KEYS = {
  vocab_size: 'vocabSize',
  embedding_size: 'embeddingSize',
  hidden_size: 'hiddenSize',
  intermediate_size: 'intermediateSize',
  max_position_embeddings: 'maxPosition',
  type_vocab_size: 'typeVocabSize',
  num_hidden_groups: 'groupCount',
} as const satisfies Record<string, keyof EncoderSizes>;

function mismatch(
  file: string,
  reason: string,
  what: string,
  details: Record<string, unknown> = {},
): AlbertNerError {
  return new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${file}: ${what}`, {
    details: { file, reason, ...details },
  });
}

/** Configs in a folder that could be the checkpoint's. */
export async function findConfigs(folder: string): Promise<ConfigFile[]> {
  const names = await readdir(folder).catch((): string[] => []);
  const wanted = names.includes(OWN_NAME)
    ? [OWN_NAME]
    : names.filter((name) => TENSORFLOW_NAME.test(name)).sort();
  return Promise.all(wanted.map((name) => readConfigFile(join(folder, name))));
}

/** A config by file or by the name of a published size. */
export async function readConfig(nameOrFile: string): Promise<ConfigFile> {
  if (!(await encoderPresets()).includes(nameOrFile)) return readConfigFile(nameOrFile);
  const { json } = await readEncoderPresetJson(nameOrFile);
  return { file: nameOrFile, isPreset: true, json: json as Record<string, unknown> };
}

async function readConfigFile(file: string): Promise<ConfigFile> {
  const json = parseJson(await readSmallText(file, MAX_CONFIG_BYTES), file);
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw mismatch(file, 'E_CONFIG', 'it is no object');
  return { file, isPreset: false, json: json as Record<string, unknown> };
}

export interface ConfigInputs {
  /** Those found beside the weights, or the one given. */
  candidates: readonly ConfigFile[];
  structure: Structure;
  format: CheckpointFormat;
  /** For messages. */
  path: string;
  overrides: ConfigOverrides;
}

/**
 * Throws ERR_CHECKPOINT_MISMATCH: E_CONFIG_MISSING (none, or several that fit), E_CONFIG (a key that is wrong or that the
 * shapes contradict; both numbers are named).
 */
export async function resolveConfig(inputs: ConfigInputs): Promise<ResolvedConfig> {
  const { candidates, structure, overrides, path } = inputs;
  const source = chooseConfig(candidates, structure.sizes, path);
  const warnings: string[] = [];
  const { config: read, dialect } = source
    ? fromFile(source, inputs, warnings)
    : { config: {}, dialect: null };
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  const { layout, sizes } = structure;
  const base = { layerNormEps: 1e-12, initializerRange: 0.02, ...read, layout, ...sizes, ...given };
  const config = await complete(base, inputs);
  check(config, source?.file ?? path, warnings);
  return { config, file: source?.file ?? null, dialect, warnings };
}

/** The only one, or the only one whose sizes fit. */
function chooseConfig(
  candidates: readonly ConfigFile[],
  sizes: EncoderSizes,
  path: string,
): ConfigFile | null {
  if (candidates.length <= 1) return candidates[0] ?? null;
  const fitting = candidates.filter((candidate) => disagreements(candidate, sizes).length === 0);
  if (fitting.length === 1) return fitting[0];
  const names = (fitting.length > 1 ? fitting : candidates).map(({ file }) => file).join(', ');
  const what =
    fitting.length > 1 ? `several configs fit: ${names}` : `of several configs none fits: ${names}`;
  throw mismatch(path, 'E_CONFIG_MISSING', `${what}; choose with --config`);
}

/** Keys whose numbers the shapes contradict, with both. A published size may have another vocabulary. */
function disagreements({ json, isPreset }: ConfigFile, sizes: EncoderSizes): string[] {
  return Object.entries(KEYS)
    .filter(([key, size]) => json[key] !== undefined && Number(json[key]) !== sizes[size])
    .filter(([key]) => !isPreset || key !== 'vocab_size')
    .map(([key, size]) => `${key} is ${String(json[key])} but the weights have ${sizes[size]}`);
}

/** What a config file says, in its dialect. */
function fromFile(
  source: ConfigFile,
  { structure, format, overrides }: ConfigInputs,
  warnings: string[],
): { config: Partial<EncoderConfig>; dialect: ConfigDialect } {
  const { file, json, isPreset } = source;
  const contradictions = disagreements(source, structure.sizes);
  if (contradictions.length > 0) throw mismatch(file, 'E_CONFIG', contradictions.join('; '));
  const dialect = dialectOf(json, format);
  const { layout } = structure;
  if (dialect === 'huggingface') {
    const config = parseHuggingFaceConfig(json, file);
    const own = (json.albert_ner as { layout?: unknown } | undefined)?.layout;
    if (own !== undefined && own !== layout)
      throw mismatch(file, 'E_CONFIG', `the layout ${String(own)} but the weights have ${layout}`);
    const rewritten =
      isPreset && layout === 'bright' && format.startsWith('pytorch') && config.activation === 'gelu_tanh';
    if (!rewritten || overrides.activation !== undefined) return { config, dialect };
    warnings.push(
      'PyTorch programs for this layout compute gelu by erf, so gelu_erf was taken; --activation gelu_tanh gives what TensorFlow trained it with',
    );
    return { config: { ...config, activation: 'gelu_erf' }, dialect: 'pytorch' };
  }
  const activation = overrides.activation ?? activationOf(json, dialect, layout, file);
  const filled = Object.fromEntries(Object.entries(KEYS).map(([key, size]) => [key, structure.sizes[size]]));
  const required = (key: string, given: number | undefined) => {
    if (given === undefined && json[key] === undefined)
      throw mismatch(file, 'E_CONFIG', `it has no ${key}`, { key });
    return given ?? json[key];
  };
  const config = parseHuggingFaceConfig(
    {
      ...json,
      ...filled,
      num_attention_heads: required('num_attention_heads', overrides.headCount),
      num_hidden_layers: required('num_hidden_layers', overrides.layerCount),
      hidden_act: 'relu',
      model_type: 'albert',
    },
    file,
  );
  const layerNormPlacement = overrides.layerNormPlacement ?? placementOf(json, layout, file, warnings);
  return { config: { ...config, activation, layerNormPlacement }, dialect };
}

function dialectOf(json: Readonly<Record<string, unknown>>, format: CheckpointFormat): ConfigDialect {
  if (json.model_type !== undefined || json.albert_ner !== undefined || json.architectures !== undefined)
    return 'huggingface';
  return format === 'tensorflow' ? 'tensorflow' : 'pytorch';
}

/** TensorFlow's programs say "gelu" and compute it by tanh, those in PyTorch by erf. */
function activationOf(
  json: Readonly<Record<string, unknown>>,
  dialect: 'tensorflow' | 'pytorch',
  layout: EncoderConfig['layout'],
  file: string,
): EncoderConfig['activation'] {
  const name = String(json.hidden_act);
  if (name === 'gelu') return dialect === 'tensorflow' ? 'gelu_tanh' : 'gelu_erf';
  if (name === 'gelu_new' && dialect === 'pytorch' && layout === 'google') return 'gelu_tanh';
  if (name === 'relu') return 'relu';
  if (name === 'swish') return 'silu';
  const what = `hidden_act ${json.hidden_act === undefined ? 'is missing' : JSON.stringify(json.hidden_act)}`;
  throw mismatch(file, 'E_CONFIG', `${what}; expected gelu, relu or swish, or --activation`, {
    key: 'hidden_act',
  });
}

function placementOf(
  json: Readonly<Record<string, unknown>>,
  layout: EncoderConfig['layout'],
  file: string,
  warnings: string[],
): EncoderConfig['layerNormPlacement'] {
  if (layout === 'google') return 'post';
  if (json.ln_type === 'preln') return 'pre';
  if (json.ln_type === 'postln') return 'post';
  if (json.ln_type !== undefined) {
    throw mismatch(file, 'E_CONFIG', `ln_type is ${JSON.stringify(json.ln_type)}; expected postln or preln`, {
      key: 'ln_type',
    });
  }
  warnings.push(
    `${file} has no ln_type: layer norms are taken to stand behind the blocks (--layer-norm pre otherwise)`,
  );
  return 'post';
}

type Incomplete = Partial<EncoderConfig> & EncoderSizes;

/** Refuses what neither a file nor the user told, naming the published sizes that would fit. */
async function complete(config: Incomplete, { path, structure }: ConfigInputs): Promise<EncoderConfig> {
  const options = {
    headCount: '--heads',
    layerCount: '--layers',
    activation: '--activation',
    layerNormPlacement: '--layer-norm',
  };
  const missing = Object.entries(options).filter(([key]) => config[key as keyof EncoderConfig] === undefined);
  if (structure.layout === 'google') config.layerNormPlacement ??= 'post';
  const needed = missing
    .filter(([key]) => config[key as keyof EncoderConfig] === undefined)
    .map(([, option]) => option);
  if (needed.length === 0) return config as EncoderConfig;
  const presets: string[] = [];
  for (const name of await encoderPresets()) {
    const preset = await readEncoderPreset(name);
    const same = (['embeddingSize', 'hiddenSize', 'intermediateSize', 'groupCount'] as const).every(
      (key) => preset[key] === structure.sizes[key],
    );
    if (same && preset.layout === structure.layout) presets.push(name);
  }
  const hint = presets.length > 0 ? `; the sizes are those of ${presets.join(', ')}` : '';
  throw mismatch(
    path,
    'E_CONFIG_MISSING',
    `no config beside it, and the weights don't tell everything: give --config FILE or NAME, or ${needed.join(', ')}${hint}`,
    { presets },
  );
}

function check(config: EncoderConfig, file: string, warnings: string[]): void {
  const { hiddenSize, headCount, layerCount, groupCount, layout } = config;
  if (hiddenSize % headCount !== 0) {
    throw mismatch(file, 'E_CONFIG', `${headCount} heads don't divide the hidden size ${hiddenSize}`, {
      key: 'num_attention_heads',
    });
  }
  if (groupCount > layerCount || (layout === 'bright' && groupCount > 1 && groupCount !== layerCount)) {
    throw mismatch(file, 'E_CONFIG', `${layerCount} layers but weights for ${groupCount}`, {
      key: 'num_hidden_layers',
    });
  }
  if (layerCount % groupCount !== 0) {
    warnings.push(
      `${groupCount} groups don't divide ${layerCount} layers: programs disagree on which layer uses which`,
    );
  }
}
