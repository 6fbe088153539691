/**
 * The tensors an encoder needs, under their canonical names (Hugging Face AlbertModel without prefix), and how they are
 * found among the names a file has.
 */

import { AlbertNerError } from '../lib/errors.js';
import { SCALE_SUFFIX } from './convert/int8.js';
import type { TensorInfo } from './convert/safetensors.js';
import type { EncoderConfig } from './encoder-config.js';

/** What the shapes of an encoder's tensors depend on. */
export type EncoderShape = Pick<
  EncoderConfig,
  | 'layout'
  | 'vocabSize'
  | 'embeddingSize'
  | 'hiddenSize'
  | 'intermediateSize'
  | 'maxPosition'
  | 'typeVocabSize'
  | 'groupCount'
>;

/** Canonical name to shape, in the order the addon has them. */
export function canonicalTensors(config: EncoderShape): Map<string, number[]> {
  const { vocabSize: V, embeddingSize: E, hiddenSize: D, intermediateSize: I } = config;
  const google = config.layout === 'google';
  const width = google ? E : D;
  const shapes = new Map<string, number[]>([
    ['embeddings.word_embeddings.weight', [V, E]],
    ['embeddings.position_embeddings.weight', [config.maxPosition, width]],
    ['embeddings.token_type_embeddings.weight', [config.typeVocabSize, width]],
    ['embeddings.LayerNorm.weight', [width]],
    ['embeddings.LayerNorm.bias', [width]],
  ]);
  const linear = (name: string, out: number, input: number) => {
    shapes.set(`${name}.weight`, [out, input]);
    shapes.set(`${name}.bias`, [out]);
  };
  const norm = (name: string) => {
    shapes.set(`${name}.weight`, [D]);
    shapes.set(`${name}.bias`, [D]);
  };
  if (google) linear('encoder.embedding_hidden_mapping_in', D, E);
  else shapes.set('embeddings.word_embeddings_2.weight', [D, E]);
  for (let group = 0; group < config.groupCount; group += 1) {
    const layer = `encoder.albert_layer_groups.${group}.albert_layers.0`;
    for (const part of ['query', 'key', 'value', 'dense']) linear(`${layer}.attention.${part}`, D, D);
    norm(`${layer}.attention.LayerNorm`);
    linear(`${layer}.ffn`, I, D);
    linear(`${layer}.ffn_output`, D, I);
    norm(`${layer}.full_layer_layer_norm`);
  }
  return shapes;
}

/** Tried in this order; the first under which every needed tensor exists is taken. */
const PREFIXES = [
  '',
  'albert.',
  'bert.',
  'module.',
  'module.albert.',
  'module.bert.',
  'model.',
  'model.albert.',
];

/** Names of other parts of a model, which are skipped without a word. */
const SKIPPED =
  /(^|\.)(pooler|pooler_activation|predictions|sop_classifier|cls|classifier|qa_outputs|position_ids|token_type_ids|bilstm|crf|mix|ngrams)(\.|$)/;

export interface SelectedTensors {
  /** Under canonical names, in canonical order. */
  tensors: TensorInfo[];
  /** Names that are neither needed nor known parts. */
  unknown: string[];
}

/**
 * The encoder's tensors of a file. Throws ERR_CHECKPOINT_MISMATCH, naming the first five, when some are missing or have
 * another shape; dtypes are checked where they are read.
 */
export function selectEncoderTensors(
  available: readonly TensorInfo[],
  config: EncoderConfig,
  file: string,
): SelectedTensors {
  const byName = new Map(available.map((tensor) => [modernName(tensor.name), tensor]));
  const needed = canonicalTensors(config);
  const missingUnder = (prefix: string) => [...needed.keys()].filter((name) => !byName.has(prefix + name));
  const best = PREFIXES.map((prefix) => ({ prefix, missing: missingUnder(prefix) })).reduce((a, b) =>
    b.missing.length < a.missing.length ? b : a,
  );
  if (best.missing.length > 0) {
    const found = available.slice(0, 5).map(({ name }) => name);
    throw mismatch(file, `missing ${firstFive(best.missing)}; it has ${found.join(', ') || 'no tensors'}`);
  }
  const wrong: string[] = [];
  const tensors = [...needed].map(([name, shape]) => {
    const tensor = byName.get(best.prefix + name) as TensorInfo;
    if (tensor.shape.join() !== shape.join()) {
      wrong.push(`${name} is [${tensor.shape.join(', ')}] instead of [${shape.join(', ')}]`);
    }
    return { ...tensor, name };
  });
  if (wrong.length > 0) throw mismatch(file, firstFive(wrong));
  const scales = tensors.flatMap(({ name, dtype }) => {
    const scale = dtype === 'I8' ? byName.get(best.prefix + name + SCALE_SUFFIX) : undefined;
    return scale ? [{ ...scale, name: name + SCALE_SUFFIX }] : [];
  });
  const found = tensors.concat(scales);
  const used = new Set(found.map(({ name }) => best.prefix + name));
  const unknown = [...byName.keys()].filter((name) => !used.has(name) && !SKIPPED.test(name));
  return { tensors: found, unknown };
}

/** Old files call the parameters of layer norms gamma and beta. */
function modernName(name: string): string {
  return name.replace(/\.gamma$/, '.weight').replace(/\.beta$/, '.bias');
}

function firstFive(names: readonly string[]): string {
  const rest = names.length > 5 ? ` and ${names.length - 5} more` : '';
  return names.slice(0, 5).join(', ') + rest;
}

function mismatch(file: string, what: string): AlbertNerError {
  return new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${file} doesn't fit its config: ${what}`, {
    details: { file, reason: 'E_NAMES' },
  });
}
