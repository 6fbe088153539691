/**
 * A whole model of the reference implementation (params.pkl: frozen encoder, BiLSTM, linear layer, CRF) as a model
 * directory. Its CRF keeps start and end as two more tags; its tags have another order.
 *
 * With zero initial states, and over the characters of a sentence only, emissions are those of the original. Its random
 * initial states, its run over padding and its decoder, which leaves out the first emission, are not imitated.
 */

import type { WritableTensor, WrittenFile } from '../../albert/convert/safetensors.js';
import type { Checkpoint } from '../../albert/convert/stored-tensor.js';
import type { Structure } from '../../albert/convert/structure.js';
import { TensorReader } from '../../albert/convert/tensor-stream.js';
import type { EncoderConfig } from '../../albert/encoder-config.js';
import { AlbertNerError } from '../errors.js';
import { parseTag, TagSet } from '../labels/scheme.js';
import type { Vocab } from '../text/vocab.js';
import { ENCODER_PREFIX, writeModelDirectory } from './model-directory.js';

/** The tags built into its program, in the order of their numbers. */
const BUILT_IN_TAGS = ['B_T', 'I_T', 'B_LOC', 'I_LOC', 'B_ORG', 'I_ORG', 'B_PER', 'I_PER', 'O'];
const LSTM_PARTS = ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0'].flatMap((part) => [
  part,
  `${part}_reverse`,
]);
/** Its dropout; unused in prediction. */
const DROPOUT = 0.5;
const SPECIAL_UNITS = 2;
const MAX_LENGTH = 128;
const MARGIN = 16;

/** Whether a checkpoint is such a model. */
export function isTagger({ tensors }: Checkpoint, { prefix }: Structure): boolean {
  return prefix === 'word_embeddings.' && tensors.some(({ name }) => name === 'crf.transitions');
}

export interface ImportOptions {
  output: string;
  encoder: EncoderConfig;
  vocab: Vocab;
  encoderTensors: readonly WritableTensor[];
  /** In the order of their numbers; default those built into the program. */
  tags?: readonly string[];
}

/**
 * Rejects with ERR_CHECKPOINT_MISMATCH when the head lacks tensors or they don't fit each other, ERR_LABELS_MISMATCH when
 * the tags don't fit the weights.
 */
export async function importTagger(
  checkpoint: Checkpoint,
  { output, encoder, vocab, encoderTensors, tags = BUILT_IN_TAGS }: ImportOptions,
): Promise<WrittenFile> {
  const head = new HeadReader(checkpoint, encoder.hiddenSize);
  const { tagCount: K, hiddenSize } = head;
  const { tagSet, order } = readTags(tags, K, checkpoint.path);
  const transitions = await head.read('crf.transitions', [K + 2, K + 2]);
  const [start, end] = [K, K + 1];
  const cell = (from: number, to: number) => transitions[from * (K + 2) + to];
  const classifier = await head.read('hidden2tag.weight', [K, 2 * hiddenSize]);
  const bias = await head.read('hidden2tag.bias', [K]);
  const rows = order.map((tag) => classifier.subarray(tag * 2 * hiddenSize, (tag + 1) * 2 * hiddenSize));
  const tensors: WritableTensor[] = [
    ...encoderTensors.map((tensor) => ({ ...tensor, name: ENCODER_PREFIX + tensor.name })),
    { name: 'classifier.weight', shape: [K, 2 * hiddenSize], data: concat(rows) },
    { name: 'classifier.bias', shape: [K], data: Float32Array.from(order, (tag) => bias[tag]) },
    {
      name: 'crf.transitions',
      shape: [K, K],
      data: Float32Array.from(order.flatMap((from) => order.map((to) => cell(from, to)))),
    },
    { name: 'crf.start_transitions', shape: [K], data: Float32Array.from(order, (to) => cell(start, to)) },
    { name: 'crf.end_transitions', shape: [K], data: Float32Array.from(order, (from) => cell(from, end)) },
  ];
  for (const part of LSTM_PARTS) {
    const shape = head.lstmShape(part);
    tensors.push({ name: `bilstm.${part}`, shape, data: await head.read(`lstm.${part}`, shape) });
  }
  const { weights } = await writeModelDirectory(output, {
    description: {
      encoder,
      head: { hiddenSize, dropout: DROPOUT, layer: -2, ngramWidth: 0 },
      labels: [...tagSet.labels],
      scheme: 'BIO',
      text: { maxUnits: Math.min(MAX_LENGTH, encoder.maxPosition) - SPECIAL_UNITS, margin: MARGIN },
      scores: null,
      training: null,
    },
    vocab,
    tensors,
    card: importedCard(tagSet),
  });
  return { sha256: weights.sha256, bytes: weights.bytes };
}

/** Reads tensors of the head with the shapes they must have. */
class HeadReader {
  readonly tagCount: number;
  /** Per direction. */
  readonly hiddenSize: number;
  private readonly checkpoint: Checkpoint;
  private readonly inputSize: number;
  private readonly reader = new TensorReader();

  constructor(checkpoint: Checkpoint, inputSize: number) {
    this.checkpoint = checkpoint;
    this.inputSize = inputSize;
    this.tagCount = this.find('hidden2tag.bias').shape[0] ?? 0;
    this.hiddenSize = this.find('lstm.weight_hh_l0').shape[1] ?? 0;
    if (this.tagCount < 1 || this.hiddenSize < 1) throw this.mismatch('a head without tags or hidden states');
  }

  lstmShape(part: string): number[] {
    if (part.startsWith('bias')) return [4 * this.hiddenSize];
    return [4 * this.hiddenSize, part.startsWith('weight_ih') ? this.inputSize : this.hiddenSize];
  }

  async read(name: string, shape: readonly number[]): Promise<Float32Array> {
    const tensor = this.find(name);
    if (tensor.shape.join() !== shape.join()) {
      throw this.mismatch(`${name} is [${tensor.shape.join(', ')}] instead of [${shape.join(', ')}]`);
    }
    return this.reader.values(tensor);
  }

  private find(name: string) {
    const tensor = this.checkpoint.tensors.find((candidate) => candidate.name === name);
    if (!tensor) throw this.mismatch(`missing ${name}`);
    return tensor;
  }

  private mismatch(what: string): AlbertNerError {
    const { path } = this.checkpoint;
    return new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${path}: ${what}`, {
      details: { file: path, reason: 'E_NAMES' },
    });
  }
}

/** The tag set, and for each of its tags the number it has in the weights. */
function readTags(
  tags: readonly string[],
  tagCount: number,
  path: string,
): { tagSet: TagSet; order: number[] } {
  const fail = (what: string) =>
    new AlbertNerError(
      'ERR_LABELS_MISMATCH',
      `${path}: ${what}; give the tags in the order of their numbers with --tags`,
      {
        details: { file: path },
      },
    );
  if (tags.length !== tagCount) throw fail(`weights for ${tagCount} tags but ${tags.length} names`);
  const parsed = tags.map((tag) => parseTag(tag));
  const unsound = tags.find(
    (_, index) => !['outside', 'begin', 'inside'].includes(parsed[index]?.role ?? ''),
  );
  if (unsound !== undefined) throw fail(`the tag ${unsound} is none of BIO`);
  const labels = [...new Set(parsed.flatMap((tag) => tag?.label ?? []))];
  const tagSet = new TagSet(labels, 'BIO');
  const order = tagSet.tags.map((tag) => tags.findIndex((name) => name.replace('_', '-') === tag));
  if (order.includes(-1) || tagSet.size !== tagCount)
    throw fail(`the tags ${tags.join(', ')} aren't O and B and I of each label`);
  return { tagSet, order };
}

function concat(rows: readonly Float32Array[]): Float32Array {
  const values = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const row of rows) {
    values.set(row, at);
    at += row.length;
  }
  return values;
}

function importedCard(tagSet: TagSet): string {
  return `# Named-entity model

Finds ${tagSet.labels.join(', ')} in Chinese text. Converted by albert-ner from a model of another program; conversion.json says from
which files. It decodes under the constraints of BIO tags, and its scores are those of its CRF; it was not evaluated here.
`;
}
