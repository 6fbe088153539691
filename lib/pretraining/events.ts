/** What a pretraining run tells its caller; the command line draws it, the logs record it. */

export interface PretrainingFigures {
  /** Mean negative log-likelihood of a masked unit, in nats. */
  maskedLoss: number;
  /** Share of masked units whose best guess is right. */
  maskedAccuracy: number;
  orderLoss: number;
  orderAccuracy: number;
}

export type PretrainingEvent =
  /** How far a long task before the first step has come: bytes of text read, shards the word embeddings were fitted to. */
  | { type: 'progress'; task: 'text' | 'embeddings'; done: number; total: number }
  | { type: 'data'; units: number; shards: number; heldOutUnits: number; unknownShare: number }
  | { type: 'resume'; step: number }
  | { type: 'step'; step: number; steps: number; maskedLoss: number; unitsPerSecond: number }
  /** Means since the last report. */
  | ({
      type: 'report';
      step: number;
      epoch: number;
      learningRate: number;
      gradientNorm: number;
      unitsPerSecond: number;
    } & PretrainingFigures)
  | ({
      type: 'evaluation';
      step: number;
      units: number;
      seconds: number;
      improved: boolean;
    } & PretrainingFigures)
  | { type: 'stop'; reason: 'finished' | 'stop-after' };

export type PretrainingListener = (event: PretrainingEvent) => void;
