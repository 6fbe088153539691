/**
 * The encoder in a checkpoint, as its names and shapes tell it: which tensor is which, the layout, the sizes. What they
 * can't tell (heads, layers, activation, place of the layer norms) is left to the config.
 */

import { AlbertNerError } from '../../lib/errors.js';
import type { EncoderConfig } from '../encoder-config.js';
import { canonicalTensors, type EncoderShape } from '../name-map.js';
import { meaningOf, type NameFamily, PREFIXES, type Slot } from './foreign-names.js';
import { type Checkpoint, elementCount, type StoredTensor, transposed } from './stored-tensor.js';

/** Sizes of an encoder that shapes tell. */
export type EncoderSizes = Omit<EncoderShape, 'layout'>;

/** A tensor in canonical shape, and the name it has in the file. */
export interface SourceTensor {
  tensor: StoredTensor;
  source: string;
}

export interface Structure {
  layout: EncoderConfig['layout'];
  sizes: EncoderSizes;
  /** By canonical name. Null: not stored, since it is the identity (E = D) or its zero bias. */
  tensors: Map<string, SourceTensor | null>;
  skipped: string[];
  unknown: string[];
  /** What names of the file begin with. */
  prefix: string;
}

const LAYER = /^encoder\.albert_layer_groups\.(\d+)\.albert_layers\.0\.(.+)$/;
const MAPPING = 'encoder.embedding_hidden_mapping_in';
const WORDS = 'embeddings.word_embeddings.weight';
const PROJECTION = 'embeddings.word_embeddings_2.weight';
const POSITIONS = 'embeddings.position_embeddings.weight';
const TYPES = 'embeddings.token_type_embeddings.weight';

function mismatch(
  path: string,
  reason: string,
  what: string,
  details: Record<string, unknown> = {},
): AlbertNerError {
  return new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${path}: ${what}`, {
    details: { file: path, reason, ...details },
  });
}

/**
 * Throws ERR_CHECKPOINT_MISMATCH: E_ARCH_UNKNOWN (no ALBERT, or marks of both layouts), E_ARCH_GROUPED_FFN,
 * E_ARCH_INNER_GROUPS, E_NAMES (missing, given twice, of the wrong shape; the first five are named).
 */
export function readStructure(checkpoint: Checkpoint): Structure {
  const { path, tensors } = checkpoint;
  const readings = PREFIXES.map((prefix) => new Reading(checkpoint, prefix));
  const best = readings.reduce((a, b) => (b.missing().length < a.missing().length ? b : a));
  if (best.slots.size === 0) {
    const names = tensors.slice(0, 5).map(({ name }) => name);
    throw mismatch(
      path,
      'E_ARCH_UNKNOWN',
      `no ALBERT encoder; its tensors are ${names.join(', ') || 'none'}`,
    );
  }
  best.checkKind();
  const missing = best.missing();
  if (missing.length > 0) {
    const { unknown, skipped } = best;
    const what = `missing ${firstFive(missing)}${unknown.length > 0 ? `; it also has ${firstFive(unknown)}` : ''}`;
    throw mismatch(path, 'E_NAMES', what, { missing, unknown, skipped });
  }
  return best.structure();
}

/** The names of a file read under one prefix. */
class Reading {
  readonly slots = new Map<string, { slot: Slot; tensor: StoredTensor }>();
  readonly skipped: string[] = [];
  readonly unknown: string[] = [];
  readonly prefix: string;
  private readonly checkpoint: Checkpoint;
  private readonly families = new Set<NameFamily>();
  private twice: string | null = null;
  private knownMissing: string[] | null = null;

  constructor(checkpoint: Checkpoint, prefix: string) {
    this.checkpoint = checkpoint;
    this.prefix = prefix;
    for (const tensor of checkpoint.tensors) {
      const meaning = meaningOf(tensor.name, prefix);
      if (meaning.kind === 'skipped') this.skipped.push(tensor.name);
      else if (meaning.kind === 'unknown') this.unknown.push(tensor.name);
      else this.add(tensor, meaning.slot);
    }
  }

  private add(tensor: StoredTensor, slot: Slot): void {
    const key = `${slot.group}/${slot.inner}/${slot.part}`;
    if (this.slots.has(key)) this.twice = tensor.name;
    this.slots.set(key, { slot, tensor });
    if (slot.group !== null) this.families.add(slot.family);
  }

  private get(part: string, group: Slot['group'] = null): StoredTensor | undefined {
    return this.slots.get(`${group}/0/${part}`)?.tensor;
  }

  /** The tensor of a canonical name. */
  private find(name: string): { slot: Slot; tensor: StoredTensor } | undefined {
    const layer = LAYER.exec(name);
    if (!layer) return this.slots.get(`null/0/${name}`);
    return this.slots.get(`${layer[1]}/0/${layer[2]}`) ?? this.slots.get(`shared/0/${layer[2]}`);
  }

  private isBright(): boolean {
    return this.families.has('bright') || this.get(PROJECTION) !== undefined || this.hasWidePositions();
  }

  /** Positions as wide as the hidden states while words aren't. */
  private hasWidePositions(): boolean {
    const [words, positions] = [WORDS, POSITIONS].map((name) => this.get(name)?.shape[1]);
    return words !== undefined && positions !== undefined && words !== positions;
  }

  private groupCount(): number {
    const groups = [...this.slots.values()].map(({ slot }) =>
      typeof slot.group === 'number' ? slot.group : 0,
    );
    return 1 + groups.reduce((a, b) => Math.max(a, b), 0);
  }

  /** The mapping of google's programs is left out where there is nothing to map. */
  private isIdentity(name: string): boolean {
    const [, width] = this.get(WORDS)?.shape ?? [];
    const query = this.find('encoder.albert_layer_groups.0.albert_layers.0.attention.query.bias');
    const sameWidth = width !== undefined && query?.tensor.shape[0] === width;
    return (
      name.startsWith(MAPPING) && this.families.has('google') && sameWidth && !this.get(`${MAPPING}.weight`)
    );
  }

  private needed(): string[] {
    const none = {
      vocabSize: 0,
      embeddingSize: 0,
      hiddenSize: 0,
      intermediateSize: 0,
      maxPosition: 0,
      typeVocabSize: 0,
    };
    const layout = this.isBright() ? 'bright' : 'google';
    // No more groups than tensors: a name with a huge number doesn't make a huge list.
    const groupCount = Math.min(this.groupCount(), this.checkpoint.tensors.length);
    return [...canonicalTensors({ ...none, layout, groupCount }).keys()];
  }

  missing(): string[] {
    this.knownMissing ??= this.needed().filter((name) => !this.find(name) && !this.isIdentity(name));
    return this.knownMissing;
  }

  checkKind(): void {
    const { path } = this.checkpoint;
    const bright = this.isBright();
    const google = this.families.has('google') || this.get(`${MAPPING}.weight`) !== undefined;
    if (bright && google) throw mismatch(path, 'E_ARCH_UNKNOWN', 'marks of both layouts, google and bright');
    if (this.families.size === 0)
      throw mismatch(path, 'E_ARCH_UNKNOWN', 'embeddings, but no layers of an ALBERT');
    if (bright && !this.get(PROJECTION)) {
      const what = 'layers as of a BERT, and no embeddings of an ALBERT (word_embeddings_2)';
      throw mismatch(path, 'E_ARCH_UNKNOWN', what);
    }
    for (const { slot, tensor } of this.slots.values()) {
      if (slot.part === 'ffn.weight' && tensor.shape.length === 3) {
        const what = `${tensor.name} is of rank 3: grouped feed-forward layers (google_fast) are not supported`;
        throw mismatch(path, 'E_ARCH_GROUPED_FFN', what, { tensor: tensor.name });
      }
      if (slot.inner > 0) {
        const what = `${tensor.name}: groups with several inner layers are not supported`;
        throw mismatch(path, 'E_ARCH_INNER_GROUPS', what, { tensor: tensor.name });
      }
    }
    if (this.twice !== null)
      throw mismatch(path, 'E_NAMES', `${this.twice} and another name mean the same tensor`);
  }

  structure(): Structure {
    const layout = this.isBright() ? 'bright' : 'google';
    const dimension = (name: string, dim: number) => {
      const found = this.find(name);
      if (!found) return 0;
      const { shape } = found.slot.transposed ? transposed(found.tensor) : found.tensor;
      return shape[dim] ?? 0;
    };
    const layer = 'encoder.albert_layer_groups.0.albert_layers.0.';
    const sizes: EncoderSizes = {
      vocabSize: dimension(WORDS, 0),
      embeddingSize: dimension(WORDS, 1),
      hiddenSize: dimension(`${layer}attention.query.weight`, 0),
      intermediateSize: dimension(`${layer}ffn.weight`, 0),
      maxPosition: dimension(POSITIONS, 0),
      typeVocabSize: dimension(TYPES, 0),
      groupCount: this.groupCount(),
    };
    const tensors = new Map<string, SourceTensor | null>();
    const wrong: string[] = [];
    for (const [name, expected] of canonicalTensors({ ...sizes, layout })) {
      const found = this.find(name);
      if (!found) {
        tensors.set(name, null);
        continue;
      }
      const { slot, tensor: stored } = found;
      const tensor = slot.transposed ? transposed(stored) : stored;
      tensors.set(name, { tensor: { ...tensor, name }, source: stored.name });
      if (tensor.shape.join() !== expected.join()) {
        wrong.push(`${stored.name} makes [${tensor.shape.join(', ')}] instead of [${expected.join(', ')}]`);
      }
    }
    const { path } = this.checkpoint;
    if (Object.values(sizes).includes(0)) wrong.push('a size is zero');
    if (wrong.length > 0) throw mismatch(path, 'E_NAMES', firstFive(wrong), { wrong });
    this.checkTotal([...tensors.values()].filter((tensor) => tensor !== null));
    return { layout, sizes, tensors, skipped: this.skipped, unknown: this.unknown, prefix: this.prefix };
  }

  /** A file can't hold much more than its own bytes. */
  private checkTotal(used: readonly SourceTensor[]): void {
    const distinct = new Map(used.map(({ source, tensor }) => [source, tensor]));
    const bytes = [...distinct.values()].reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
    const { files } = this.checkpoint;
    const available = files.reduce((sum, { size }) => sum + size, 0);
    if (bytes <= 4 * available) return;
    const what = `tensors of ${bytes} bytes in files of ${available}`;
    throw files[0].refusal('E_STORAGE_SIZE', what, 0);
  }
}

function firstFive(names: readonly string[]): string {
  const rest = names.length > 5 ? ` and ${names.length - 5} more` : '';
  return names.slice(0, 5).join(', ') + rest;
}
