/**
 * Strict entity scores: an entity is correct when start, end and label agree. Counts are summed over the corpus, so
 * the figures don't depend on how it was batched.
 */

import type { Span } from '../labels/spans.js';

export interface Scores {
  precision: number;
  recall: number;
  /** 0 where precision and recall are both 0; never NaN. */
  f1: number;
  /** Gold entities. */
  support: number;
  predicted: number;
  correct: number;
}

export interface EntityReport {
  /** By label, in the scorer's order; a label without gold entities is there too. */
  types: Record<string, Scores>;
  /** Over all entities. */
  micro: Scores;
  /** Mean over the labels that occur, as gold or predicted: a label of the model that a corpus lacks says nothing. */
  macro: Scores;
  /** Mean over the labels, weighted by support. */
  weighted: Scores;
  sentences: number;
}

interface Counts {
  support: number;
  predicted: number;
  correct: number;
}

const ratio = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);

function scoresOf({ support, predicted, correct }: Counts): Scores {
  const precision = ratio(correct, predicted);
  const recall = ratio(correct, support);
  return { precision, recall, f1: ratio(2 * correct, predicted + support), support, predicted, correct };
}

export class EntityScorer {
  private readonly counts: Map<string, Counts>;
  private sentences = 0;

  /** Only these labels are counted, on both sides. */
  constructor(labels: readonly string[]) {
    this.counts = new Map(labels.map((label) => [label, { support: 0, predicted: 0, correct: 0 }]));
  }

  /** Entities of one sentence. A span given twice counts once. */
  add(gold: readonly Span[], predicted: readonly Span[]): void {
    this.sentences += 1;
    const key = ({ start, end, label }: Span) => `${start} ${end} ${label}`;
    const goldByKey = new Map(gold.map((span) => [key(span), span]));
    const predictedByKey = new Map(predicted.map((span) => [key(span), span]));
    for (const { label } of goldByKey.values()) this.count(label, 'support');
    for (const [spanKey, { label }] of predictedByKey) {
      this.count(label, 'predicted');
      if (goldByKey.has(spanKey)) this.count(label, 'correct');
    }
  }

  private count(label: string, what: keyof Counts): void {
    const counts = this.counts.get(label);
    if (counts) counts[what] += 1;
  }

  report(): EntityReport {
    const types = Object.fromEntries([...this.counts].map(([label, counts]) => [label, scoresOf(counts)]));
    const all = Object.values(types);
    const sum = (what: keyof Counts) => all.reduce((total, scores) => total + scores[what], 0);
    const totals = { support: sum('support'), predicted: sum('predicted'), correct: sum('correct') };
    const mean = (weight: (scores: Scores) => number): Scores => {
      const whole = all.reduce((total, scores) => total + weight(scores), 0);
      const average = (what: 'precision' | 'recall' | 'f1') =>
        ratio(
          all.reduce((total, scores) => total + weight(scores) * scores[what], 0),
          whole,
        );
      return { precision: average('precision'), recall: average('recall'), f1: average('f1'), ...totals };
    };
    return {
      types,
      micro: scoresOf(totals),
      macro: mean(({ support, predicted }) => (support + predicted > 0 ? 1 : 0)),
      weighted: mean((scores) => scores.support),
      sentences: this.sentences,
    };
  }
}
