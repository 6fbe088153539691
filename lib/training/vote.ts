/** What several taggers found in a text as one annotation, for training on text that nobody annotated. */

import type { Span } from '../labels/spans.js';

export interface ScoredSpan extends Span {
  /** In [0, 1]. */
  score: number;
}

/** What one voter found; a candidate's votes are the sum of weight times score. */
export interface Ballot {
  weight: number;
  spans: readonly ScoredSpan[];
}

export interface VoteThresholds {
  /** Candidates with more votes are taken, the one with the most first, unless they overlap one that was. */
  accept: number;
  /** A text with a candidate that has more votes and yet isn't taken is no sure one. */
  doubt: number;
}

export interface VoteResult {
  /** In order, without overlaps. */
  spans: Span[];
  /** Whether nothing was left out that some voters believe in. */
  sure: boolean;
}

/** Equal votes are decided by position and label, so the order of the ballots doesn't matter. */
export function voteSpans(ballots: readonly Ballot[], { accept, doubt }: VoteThresholds): VoteResult {
  const candidates = new Map<string, Span & { terms: number[] }>();
  for (const { weight, spans } of ballots) {
    for (const { start, end, label, score } of spans) {
      const key = `${start} ${end} ${label}`;
      const candidate = candidates.get(key) ?? { start, end, label, terms: [] };
      candidate.terms.push(weight * score);
      candidates.set(key, candidate);
    }
  }
  const taken: Span[] = [];
  let sure = true;
  // Summed in order of size: rounding must not let the order of the ballots through.
  const total = (terms: number[]) => terms.sort((a, b) => a - b).reduce((sum, term) => sum + term, 0);
  const counted = [...candidates.values()].map(({ terms, ...span }) => ({ ...span, votes: total(terms) }));
  const ordered = counted.sort(
    (a, b) => b.votes - a.votes || a.start - b.start || a.end - b.end || (a.label < b.label ? -1 : 1),
  );
  for (const { start, end, label, votes } of ordered) {
    const overlaps = taken.some((other) => other.start < end && start < other.end);
    if (votes > accept && !overlaps) taken.push({ start, end, label });
    else if (votes > doubt) sure = false;
  }
  return { spans: taken.sort((a, b) => a.start - b.start), sure };
}
