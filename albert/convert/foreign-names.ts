/**
 * What the names of other programs' tensors mean: canonical part, group of layers, and whether rows and columns are
 * swapped. TensorFlow's names are rewritten in PyTorch's style first, so there is one table.
 *
 * Families of names: Hugging Face (canonical), google (TensorFlow and its PyTorch converters), bright (the same).
 */

/** Where a tensor belongs. */
export interface Slot {
  /** Canonical name; within a layer, what follows `encoder.albert_layer_groups.G.albert_layers.0.` */
  part: string;
  /** Group of layers, "shared" by all of them, or null outside of layers. */
  group: number | 'shared' | null;
  /** Position within an inner group; only 0 can be run. */
  inner: number;
  /** Stored as [in, out]. */
  transposed: boolean;
  family: NameFamily;
}

export type NameFamily = 'huggingface' | 'google' | 'bright';

/** What a name is to an encoder. */
export type NameMeaning = { kind: 'slot'; slot: Slot } | { kind: 'skipped' } | { kind: 'unknown' };

/** Tried in this order; the first under which nothing is missing is taken. */
export const PREFIXES: readonly string[] = ['', 'albert.', 'bert.'].concat(
  ['module.', 'module.albert.', 'module.bert.'],
  ['word_embeddings.'],
  ['model.', 'model.albert.', 'model.bert.'],
);

/** Parts of other models, of training, and buffers: skipped without a word. */
const SKIPPED_PARTS = new Set([
  ...['cls', 'pooler', 'pooler_activation', 'predictions', 'sop_classifier', 'classifier', 'qa_outputs'],
  ...['AdamWeightDecayOptimizer', 'AdamWeightDecayOptimizer_1', 'position_ids', 'token_type_ids'],
  ...['lstm', 'hidden2tag', 'bilstm', 'crf', 'mix'],
]);
const SKIPPED_LAST = new Set([
  ...['adam_m', 'adam_v', 'lamb_m', 'lamb_v', 'Adam', 'Adam_1', 'Momentum', 'ExponentialMovingAverage'],
  ...['global_step', 'beta1_power', 'beta2_power', 'save_counter'],
]);

function isSkipped(name: string): boolean {
  const parts = name.split(/[./]/);
  return SKIPPED_LAST.has(parts[parts.length - 1]) || parts.some((part) => SKIPPED_PARTS.has(part));
}

/** Parts of a layer as google's and as bright's programs name them. */
const GOOGLE_PARTS: Readonly<Record<string, string>> = {
  'attention.self.query': 'attention.query',
  'attention.self.key': 'attention.key',
  'attention.self.value': 'attention.value',
  'attention.output.dense': 'attention.dense',
  LayerNorm: 'attention.LayerNorm',
  'ffn.intermediate.dense': 'ffn',
  'ffn.intermediate.output.dense': 'ffn_output',
  LayerNorm_1: 'full_layer_layer_norm',
};

const BRIGHT_PARTS: Readonly<Record<string, string>> = {
  'attention.self.query': 'attention.query',
  'attention.self.key': 'attention.key',
  'attention.self.value': 'attention.value',
  'attention.output.dense': 'attention.dense',
  'attention.output.LayerNorm': 'attention.LayerNorm',
  'intermediate.dense': 'ffn',
  'output.dense': 'ffn_output',
  'output.LayerNorm': 'full_layer_layer_norm',
};

const OWN_PARTS = new Set(Object.values(GOOGLE_PARTS));

const EMBEDDINGS =
  /^embeddings\.(?:(?:word_embeddings|word_embeddings_2|position_embeddings|token_type_embeddings)\.weight|LayerNorm\.(?:weight|bias))$/;
const MAPPING = /^encoder\.embedding_hidden_mapping_in\.(?:weight|bias)$/;
const HUGGING_FACE_LAYER =
  /^encoder\.albert_layer_groups\.(\d{1,4})\.albert_layers\.(\d{1,4})\.(.+)\.(weight|bias)$/;
const GOOGLE_LAYER = /^encoder\.transformer\.group\.(\d{1,4})\.inner_group\.(\d{1,4})\.(.+)\.(weight|bias)$/;
/** `layer_shared` with numbers on the parts that aren't, or a numbered `layer`. */
const BRIGHT_LAYER =
  /^encoder\.(?:layer_shared|layer\.(\d{1,4}))\.(attention|intermediate|output)(?:\.(\d{1,4}))?\.(.+?)\.(weight|bias)$/;

/** What a name means, the prefix removed. `name` may be TensorFlow's (`/`) or PyTorch's. */
export function meaningOf(name: string, prefix: string): NameMeaning {
  if (isSkipped(name)) return { kind: 'skipped' };
  const { dotted, transposed } = name.includes('/')
    ? fromTensorFlow(name)
    : { dotted: name, transposed: false };
  if (!dotted.startsWith(prefix)) return { kind: 'unknown' };
  const modern = dotted
    .slice(prefix.length)
    .replace(/\.gamma$/, '.weight')
    .replace(/\.beta$/, '.bias');
  const slot = slotOf(modern);
  return slot ? { kind: 'slot', slot: { ...slot, transposed } } : { kind: 'unknown' };
}

/** A TensorFlow name in PyTorch's style: `bert/encoder/layer_3/output/dense/kernel` is `bert.encoder.layer.3.output.dense.weight`. */
function fromTensorFlow(name: string): { dotted: string; transposed: boolean } {
  const parts = name.split('/');
  const last = parts[parts.length - 1];
  const isTable = /^(word|position|token_type)_embeddings(_2)?$/.test(last);
  if (last === 'kernel') parts[parts.length - 1] = 'weight';
  if (isTable) parts.push('weight');
  const inGoogle = name.includes('/inner_group_');
  const dotted = parts
    .map((part) => {
      if (inGoogle && (part === 'attention_1' || part === 'ffn_1')) return part.slice(0, -2);
      return part.replace(/^(group|inner_group|layer|attention|intermediate|output)_(\d+)$/, '$1.$2');
    })
    .join('.');
  return { dotted, transposed: last === 'kernel' || last === 'word_embeddings_2' };
}

function slotOf(name: string): Omit<Slot, 'transposed'> | null {
  const whole = (family: NameFamily) => ({ part: name, group: null, inner: 0, family });
  if (EMBEDDINGS.test(name)) return whole(name.includes('word_embeddings_2') ? 'bright' : 'huggingface');
  if (MAPPING.test(name)) return whole('google');
  const own = HUGGING_FACE_LAYER.exec(name);
  if (own && OWN_PARTS.has(own[3])) {
    return {
      part: `${own[3]}.${own[4]}`,
      group: Number(own[1]),
      inner: Number(own[2]),
      family: 'huggingface',
    };
  }
  const google = GOOGLE_LAYER.exec(name);
  if (google && Object.hasOwn(GOOGLE_PARTS, google[3])) {
    const part = `${GOOGLE_PARTS[google[3]]}.${google[4]}`;
    return { part, group: Number(google[1]), inner: Number(google[2]), family: 'google' };
  }
  const bright = BRIGHT_LAYER.exec(name);
  if (bright && Object.hasOwn(BRIGHT_PARTS, `${bright[2]}.${bright[4]}`)) {
    const number = bright[1] ?? bright[3];
    const part = `${BRIGHT_PARTS[`${bright[2]}.${bright[4]}`]}.${bright[5]}`;
    return { part, group: number === undefined ? 'shared' : Number(number), inner: 0, family: 'bright' };
  }
  return null;
}
