/**
 * The "last" checkpoint of a run: one safetensors file with every tensor and, in its metadata, the state that goes with
 * them. One file, renamed into place: a kill at any moment leaves the previous one or this one.
 */

import { loadSafetensors, writeSafetensors } from '../../albert/convert/safetensors.js';
import { AlbertNerError } from '../errors.js';
import type { NativeTensor, NativeTensorEntry, NativeTensorFile } from '../native/binding.js';

export interface CheckpointKind {
  /** Key of the metadata that holds the state. */
  metadataKey: string;
  formatVersion: number;
  /** For messages: "training run". */
  name: string;
}

/** Tensors by part; a part's name becomes the prefix of its tensors in the file. */
export type CheckpointParts = Readonly<Record<string, readonly NativeTensor[]>>;

export async function saveCheckpoint(
  file: string,
  { metadataKey }: CheckpointKind,
  state: object,
  parts: CheckpointParts,
): Promise<void> {
  const tensors = Object.entries(parts).flatMap(([part, list]) =>
    list.map((tensor) => ({ ...tensor, name: `${part}.${tensor.name}` })),
  );
  await writeSafetensors(file, tensors, { metadata: { [metadataKey]: JSON.stringify(state) } });
}

export interface LoadedCheckpoint<State> {
  state: State;
  /** The tensors of a part, under their own names. */
  part(name: string): NativeTensorFile;
}

/** Rejects with ERR_MODEL_NOT_FOUND when there is no such file, ERR_CHECKPOINT_* when it can't be resumed from. */
export async function loadCheckpoint<State extends { formatVersion: number }>(
  file: string,
  kind: CheckpointKind,
): Promise<LoadedCheckpoint<State>> {
  const { metadata, tensors, bytes } = await loadSafetensors(file);
  const text = metadata.get(kind.metadataKey);
  if (text === undefined) {
    throw new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${file} is not a checkpoint of a ${kind.name}`, {
      details: { file },
    });
  }
  const state = parseState(text, file, kind) as State;
  const part = (name: string): NativeTensorFile => ({
    path: file,
    bytes,
    tensors: tensors
      .filter((tensor) => tensor.name.startsWith(`${name}.`))
      .map((tensor) => ({ ...tensor, name: tensor.name.slice(name.length + 1) }) as NativeTensorEntry),
  });
  return { state, part };
}

function parseState(
  text: string,
  file: string,
  { formatVersion }: CheckpointKind,
): { formatVersion: number } {
  let state: { formatVersion?: number } | null = null;
  try {
    state = JSON.parse(text) as { formatVersion?: number } | null;
  } catch (cause) {
    throw new AlbertNerError('ERR_CHECKPOINT_UNREADABLE', `The training state in ${file} is not JSON`, {
      details: { file, reason: 'E_STATE' },
      cause,
    });
  }
  if (state?.formatVersion !== formatVersion) {
    throw new AlbertNerError(
      'ERR_CHECKPOINT_MISMATCH',
      `Expected training state version ${formatVersion} in ${file} but received ${state?.formatVersion}; ` +
        'resume with the version of albert-ner that wrote it, or start anew',
      { details: { file, reason: 'E_VERSION' } },
    );
  }
  return state as { formatVersion: number };
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
          'restore it, or train into another folder',
        { details: { option: key, file } },
      );
    }
  }
}
