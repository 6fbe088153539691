/**
 * The "last" checkpoint of a run: one safetensors file with the head, the optimizer's moments and, in its metadata,
 * everything else a resumed run needs to continue to the same bits. One file, renamed into place: a kill at any
 * moment leaves the previous one or this one.
 */

import { readSafetensorsHeader, writeSafetensors } from '../../albert/convert/safetensors.js';
import { AlbertNerError } from '../errors.js';
import type { NativeTensor, NativeTensorEntry, NativeTensorFile } from '../native/binding.js';

const FORMAT_VERSION = 1;
const METADATA_KEY = 'albert_ner_training';
const HEAD_PREFIX = 'head.';
const OPTIMIZER_PREFIX = 'optimizer.';

/** Where a run stands. Random numbers need no state: every draw is derived from (seed, epoch, step). */
export interface TrainingState {
  formatVersion: typeof FORMAT_VERSION;
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
    formatVersion: FORMAT_VERSION,
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
  tensors: SavedTensors,
): Promise<void> {
  const prefixed = [
    ...tensors.head.map((tensor) => ({ ...tensor, name: HEAD_PREFIX + tensor.name })),
    ...tensors.optimizer.map((tensor) => ({ ...tensor, name: OPTIMIZER_PREFIX + tensor.name })),
  ];
  await writeSafetensors(file, prefixed, { metadata: { [METADATA_KEY]: JSON.stringify(state) } });
}

export interface LoadedTrainingState {
  state: TrainingState;
  head: NativeTensorFile;
  optimizer: NativeTensorFile;
}

/** Rejects with ERR_MODEL_NOT_FOUND when there is no such file, ERR_CHECKPOINT_* when it can't be resumed from. */
export async function loadTrainingState(file: string): Promise<LoadedTrainingState> {
  const { metadata, tensors } = await readSafetensorsHeader(file);
  const text = metadata.get(METADATA_KEY);
  if (text === undefined) {
    throw new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${file} is not a checkpoint of a training run`, {
      details: { file },
    });
  }
  const state = parseState(text, file);
  const under = (prefix: string): NativeTensorFile => ({
    path: file,
    tensors: tensors
      .filter((tensor) => tensor.name.startsWith(prefix))
      .map((tensor) => ({ ...tensor, name: tensor.name.slice(prefix.length) }) as NativeTensorEntry),
  });
  return { state, head: under(HEAD_PREFIX), optimizer: under(OPTIMIZER_PREFIX) };
}

function parseState(text: string, file: string): TrainingState {
  let state: Partial<TrainingState> | null = null;
  try {
    state = JSON.parse(text) as Partial<TrainingState> | null;
  } catch (cause) {
    throw new AlbertNerError('ERR_CHECKPOINT_UNREADABLE', `The training state in ${file} is not JSON`, {
      details: { file, reason: 'E_STATE' },
      cause,
    });
  }
  if (state?.formatVersion !== FORMAT_VERSION) {
    throw new AlbertNerError(
      'ERR_CHECKPOINT_MISMATCH',
      `Expected training state version ${FORMAT_VERSION} in ${file} but received ${state?.formatVersion}; ` +
        'resume with the version of albert-ner that wrote it, or start anew',
      { details: { file, reason: 'E_VERSION' } },
    );
  }
  return state as TrainingState;
}

/** Rejects a resume whose data, encoder or settings differ from the saved run, naming the first difference. */
export function checkSameRun(
  saved: Record<string, unknown>,
  current: Record<string, unknown>,
  file: string,
): void {
  for (const key of Object.keys(current)) {
    const before = JSON.stringify(saved[key]);
    const now = JSON.stringify(current[key]);
    if (before !== now) {
      throw new AlbertNerError(
        'ERR_INVALID_CONFIG',
        `Expected the same ${key} as in the run being resumed (${before}) but received ${now}; ` +
          'restore it, or train into another model_path',
        { details: { option: key, file } },
      );
    }
  }
}
