/** Where a training run stands: what its last checkpoint holds beside the tensors. */

import {
  type CheckpointKind,
  type CheckpointParts,
  type LoadedCheckpoint,
  loadCheckpoint,
  saveCheckpoint,
} from './checkpoint-file.js';

const KIND: CheckpointKind = {
  metadataKey: 'albert_ner_training',
  formatVersion: 1,
  name: 'training run',
};

/** Random numbers need no state: every draw is derived from (seed, epoch, step). */
export interface TrainingState {
  formatVersion: number;
  /** What must be the same when resuming; see `runIdentity`. */
  identity: Record<string, unknown>;
  /** Epochs finished. */
  epoch: number;
  /** Steps done in the epoch after those. */
  stepInEpoch: number;
  globalStep: number;
  /** Sum of the loss over the units of the unfinished epoch, and their number. */
  lossSum: number;
  lossUnits: number;
  best: { f1: number; epoch: number; step: number } | null;
  evaluationsWithoutGain: number;
  /** The run was stopped in the evaluation of these weights, which a resumed one begins with. Older states lack it. */
  evaluationDue?: boolean;
  /** Steps whose weights the mean in the checkpoint is of; 0: there is none. */
  averagedSteps: number;
}

export function newTrainingState(identity: Record<string, unknown>): TrainingState {
  return {
    formatVersion: KIND.formatVersion,
    identity,
    epoch: 0,
    stepInEpoch: 0,
    globalStep: 0,
    lossSum: 0,
    lossUnits: 0,
    best: null,
    evaluationsWithoutGain: 0,
    averagedSteps: 0,
  };
}

export function saveTrainingState(file: string, state: TrainingState, parts: CheckpointParts): Promise<void> {
  return saveCheckpoint(file, KIND, state, parts);
}

/** Rejects as `loadCheckpoint` does. */
export function loadTrainingState(file: string): Promise<LoadedCheckpoint<TrainingState>> {
  return loadCheckpoint<TrainingState>(file, KIND);
}
