/** What a training run tells its caller while it runs; the command line draws it, metrics.jsonl records it. */

import type { CorpusWarning } from '../data/sentences.js';
import type { EntityReport } from '../evaluation/entity-f1.js';

export type TrainingEvent =
  /** What is odd in the corpora but no error, before anything else; only when there is some. */
  | { type: 'warnings'; warnings: CorpusWarning[] }
  | {
      type: 'data';
      /** Sentences of each corpus. */
      corpora: { name: string; train: number; dev: number }[];
      /** Training sentences left out because the dev part of another corpus holds the same text. */
      overlap: number;
      /** Training sequences of an epoch. */
      sequences: number;
      labels: string[];
    }
  /**
   * How far a long task before the first step has come: bytes of the text for n-grams that were read, parts of it that their
   * embeddings were fitted to, sequences whose features were computed.
   */
  | { type: 'progress'; task: 'text' | 'n-grams' | 'features'; done: number; total: number }
  | { type: 'resume'; epoch: number; step: number }
  | {
      type: 'step';
      /** From 1. */
      epoch: number;
      epochs: number;
      /** Steps done in this epoch and steps of an epoch. */
      step: number;
      steps: number;
      /** Mean negative log-likelihood per unit since the epoch began, in nats. */
      loss: number;
      sentencesPerSecond: number;
    }
  | { type: 'epoch'; epoch: number; step: number; loss: number; seconds: number }
  | {
      type: 'evaluation';
      corpus: string;
      epoch: number;
      step: number;
      report: EntityReport;
      improved: boolean;
    }
  | { type: 'stop'; reason: 'finished' | 'patience' | 'stop-after' };

export type TrainingListener = (event: TrainingEvent) => void;
