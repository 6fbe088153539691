/** Which tags may start, follow and end a sentence under a scheme: the CRF gives every other path probability 0. */

import { ROLE_CODES as ROLE, type TagSet } from './scheme.js';

/** 1 for allowed, 0 for forbidden. */
export interface TagConstraints {
  /** [K*K], row i column j: tag j may follow tag i. */
  transitions: Uint8Array;
  /** [K] */
  starts: Uint8Array;
  /** [K] */
  ends: Uint8Array;
}

export function tagConstraints({ size: K, roles, labelIndexes, scheme }: TagSet): TagConstraints {
  const continues = (tag: number) => roles[tag] === ROLE.inside || roles[tag] === ROLE.end;
  /** Whether an entity is under way after the tag and, in BIOES, must go on. */
  const isOpen = (tag: number) => roles[tag] === ROLE.begin || roles[tag] === ROLE.inside;
  const mustGoOn = (tag: number) => scheme === 'BIOES' && isOpen(tag);
  const transitions = new Uint8Array(K * K);
  for (let from = 0; from < K; from += 1) {
    for (let to = 0; to < K; to += 1) {
      const allowed = continues(to)
        ? isOpen(from) && labelIndexes[from] === labelIndexes[to]
        : !mustGoOn(from);
      transitions[from * K + to] = allowed ? 1 : 0;
    }
  }
  const each = (allowed: (tag: number) => boolean) =>
    Uint8Array.from({ length: K }, (_, tag) => (allowed(tag) ? 1 : 0));
  return { transitions, starts: each((tag) => !continues(tag)), ends: each((tag) => !mustGoOn(tag)) };
}
