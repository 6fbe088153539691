/** Where a pretraining run stands: what its last checkpoint holds beside the tensors. */

import type { NativePretrainingScores } from '../native/binding.js';
import type { CheckpointKind } from '../training/checkpoint-file.js';
import type { StreamPosition } from './batches.js';
import type { PretrainingFigures } from './events.js';

export const PRETRAINING_CHECKPOINT: CheckpointKind = {
  metadataKey: 'albert_ner_pretraining',
  formatVersion: 2,
  name: 'pretraining run',
};

/** Random numbers need no state: every draw is derived from the seed and the position. */
export interface PretrainingState {
  formatVersion: number;
  /** What must be the same when resuming. */
  identity: Record<string, unknown>;
  step: number;
  position: StreamPosition;
  /** Units seen, special tokens included, and seconds spent on steps, over all sittings. */
  units: number;
  seconds: number;
  best: { maskedLoss: number; step: number } | null;
}

export function newPretrainingState(identity: Record<string, unknown>): PretrainingState {
  return {
    formatVersion: PRETRAINING_CHECKPOINT.formatVersion,
    identity,
    step: 0,
    position: { epoch: 0, shard: 0, sequence: 0 },
    units: 0,
    seconds: 0,
    best: null,
  };
}

export function addScores(a: NativePretrainingScores, b: NativePretrainingScores): NativePretrainingScores {
  return {
    maskedLoss: a.maskedLoss + b.maskedLoss,
    maskedCount: a.maskedCount + b.maskedCount,
    maskedCorrect: a.maskedCorrect + b.maskedCorrect,
    orderLoss: a.orderLoss + b.orderLoss,
    orderCount: a.orderCount + b.orderCount,
    orderCorrect: a.orderCorrect + b.orderCorrect,
    gradientNorm: b.gradientNorm,
  };
}

export function figuresOf(scores: NativePretrainingScores): PretrainingFigures {
  const masked = Math.max(scores.maskedCount, 1);
  const order = Math.max(scores.orderCount, 1);
  return {
    maskedLoss: scores.maskedLoss / masked,
    maskedAccuracy: scores.maskedCorrect / masked,
    orderLoss: scores.orderLoss / order,
    orderAccuracy: scores.orderCorrect / order,
  };
}
