/** Tags and tag schemes: what "B-PER" means, and the numbered tag set of a model. */

import { invalidArgument } from '../validate.js';

/** Schemes a model is trained in. */
export type Scheme = 'BIO' | 'BIOES';
/** Schemes corpora come in. */
export type CorpusScheme = Scheme | 'BMES' | 'IOB1' | 'IOE';

export type TagRole = 'outside' | 'begin' | 'inside' | 'end' | 'single';

export interface ParsedTag {
  role: TagRole;
  /** null for O. */
  label: string | null;
}

const ROLE_OF_PREFIX: Readonly<Record<string, TagRole>> = {
  B: 'begin',
  I: 'inside',
  M: 'inside',
  E: 'end',
  L: 'end',
  S: 'single',
  U: 'single',
  W: 'single',
};

/** Numbers of the roles, as the addon knows them: albert_ner::model::TagRole. */
export const ROLE_CODES: Readonly<Record<TagRole, number>> = {
  outside: 0,
  begin: 1,
  inside: 2,
  end: 3,
  single: 4,
};

const ROLES_OF_SCHEME: Readonly<Record<Scheme, readonly [prefix: string, role: TagRole][]>> = {
  BIO: [
    ['B', 'begin'],
    ['I', 'inside'],
  ],
  BIOES: [
    ['B', 'begin'],
    ['I', 'inside'],
    ['E', 'end'],
    ['S', 'single'],
  ],
};

/** Reads "O", "B-PER" or "B_PER"; prefixes of BIO, BIOES, BILOU, BMES and BMEWO. Undefined for anything else. */
export function parseTag(tag: string): ParsedTag | undefined {
  if (tag === 'O') return { role: 'outside', label: null };
  const role = ROLE_OF_PREFIX[tag[0]];
  if (role === undefined || (tag[1] !== '-' && tag[1] !== '_') || tag.length < 3) return undefined;
  return { role, label: tag.slice(2) };
}

/**
 * The scheme a corpus uses, from all of its tags: M makes BMES; E, S, L, U, W make BIOES, but ends without any begin tag
 * make IOE when entities start with inside tags or there is no single tag; an entity that starts with an inside tag while no
 * begin tag ever starts one makes IOB1; else BIO.
 */
export function detectScheme(sequences: Iterable<readonly string[]>): CorpusScheme {
  const roles = new Set<TagRole>();
  let insideStarts = 0;
  let beginStarts = 0;
  for (const tags of sequences) {
    let previous: string | null = null;
    for (const tag of tags) {
      if (tag[0] === 'M' && tag !== 'M') return 'BMES';
      const { role, label } = parseTag(tag) ?? { role: 'outside', label: null };
      roles.add(role);
      if (role === 'inside' && previous !== label) insideStarts += 1;
      if (role === 'begin' && previous !== label) beginStarts += 1;
      previous = label;
    }
  }
  if (roles.has('end') && !roles.has('begin') && (insideStarts > 0 || !roles.has('single'))) return 'IOE';
  if (roles.has('end') || roles.has('single')) return 'BIOES';
  return insideStarts > 0 && beginStarts === 0 ? 'IOB1' : 'BIO';
}

/** The tags of a model, numbered: O first, then those of each label in the labels' order. */
export class TagSet {
  readonly labels: readonly string[];
  readonly scheme: Scheme;
  readonly tags: readonly string[];
  readonly outside = 0;
  /** [K] role codes of the addon. */
  readonly roles: Int32Array;
  /** [K] index of the tag's label, -1 for O. */
  readonly labelIndexes: Int32Array;
  private readonly indexes = new Map<string, number>();

  /** Throws ERR_INVALID_ARGUMENT for no label, a label twice, an empty one or one with white space. */
  constructor(labels: readonly string[], scheme: Scheme) {
    if (labels.length === 0) throw invalidArgument('labels', 'at least one label', 'none');
    labels.forEach((label, index) => {
      if (!/^\S+$/.test(label)) throw invalidArgument('labels', 'names without white space', label);
      if (labels.indexOf(label) !== index) throw invalidArgument('labels', 'different names', label);
    });
    this.labels = [...labels];
    this.scheme = scheme;
    const tags = ['O'];
    const roles = [ROLE_CODES.outside];
    const labelIndexes = [-1];
    labels.forEach((label, index) => {
      for (const [prefix, role] of ROLES_OF_SCHEME[scheme]) {
        this.indexes.set(`${role} ${label}`, tags.length);
        tags.push(`${prefix}-${label}`);
        roles.push(ROLE_CODES[role]);
        labelIndexes.push(index);
      }
    });
    this.tags = tags;
    this.roles = Int32Array.from(roles);
    this.labelIndexes = Int32Array.from(labelIndexes);
  }

  get size(): number {
    return this.tags.length;
  }

  /** Throws ERR_INVALID_ARGUMENT for a label the set doesn't have or a role its scheme doesn't. */
  indexOf(role: TagRole, label: string): number {
    if (role === 'outside') return this.outside;
    const index = this.indexes.get(`${role} ${label}`);
    if (index === undefined) throw invalidArgument('label', `one of ${this.labels.join(', ')}`, label);
    return index;
  }

  /** Whether the tag continues an entity that began before it. */
  continuesEntity(tag: number): boolean {
    return this.roles[tag] === ROLE_CODES.inside || this.roles[tag] === ROLE_CODES.end;
  }
}
