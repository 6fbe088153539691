/** Where a training run stands: what its last checkpoint holds beside the tensors. */

import type { NativeTensor, NativeTensorFile } from '../native/binding.js';
import { type CheckpointKind, loadCheckpoint, saveCheckpoint } from './checkpoint-file.js';

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
  };
}

export interface SavedTensors {
  head: readonly NativeTensor[];
  optimizer: readonly NativeTensor[];
}

export async function saveTrainingState(
  file: string,
  state: TrainingState,
  { head, optimizer }: SavedTensors,
): Promise<void> {
  await saveCheckpoint(file, KIND, state, { head, optimizer });
}

export interface LoadedTrainingState {
  state: TrainingState;
  head: NativeTensorFile;
  optimizer: NativeTensorFile;
}

/** Rejects as `loadCheckpoint` does. */
export async function loadTrainingState(file: string): Promise<LoadedTrainingState> {
  const { state, part } = await loadCheckpoint<TrainingState>(file, KIND);
  return { state, head: part('head'), optimizer: part('optimizer') };
}
