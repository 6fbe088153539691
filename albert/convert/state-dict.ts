/**
 * From the object of a PyTorch file to a table of tensors: finds the state dict, proves that every view lies in its
 * storage, and places it in the file. Nothing of the data has been touched before that proof.
 */

import { AlbertNerError } from '../../lib/errors.js';
import type { CheckpointFile } from './checkpoint-file.js';
import { itemSizeOf } from './dtypes.js';
import {
  isTensor,
  PickleError,
  type PickleTuple,
  type PickleValue,
  STORAGE_DTYPES,
  type StorageRef,
  type TensorRef,
} from './pickle.js';
import { elementCount, type StoredTensor } from './stored-tensor.js';

/** Where training scripts put the state dict. */
const USUAL_KEYS = ['state_dict', 'model_state_dict', 'model', 'module', 'net'];
const MAX_TENSORS = 65_536;
const MAX_NAME_BYTES = 1024;
const MAX_RANK = 8;

export interface StateDictOptions {
  /** Key of the state dict in a file that holds more; default whichever of the usual ones is there. */
  key?: string;
}

/** A storage's bytes in the file. */
export interface StoragePlace {
  byteOffset: number;
  /** Compares the bytes with their checksum. */
  verify?: () => Promise<void>;
}

/** The storages a pickle names: each once, always with the same type and length. */
export class StorageTable {
  readonly byKey = new Map<string, StorageRef>();
  private readonly parts: number;

  /** `parts`: of a persistent id, 5 in zip files, 6 in older ones. */
  constructor(parts: number) {
    this.parts = parts;
  }

  /** Throws PickleError for a persistent id that is no storage. */
  add(id: PickleTuple, offset: number, refuse: (reason: string, what: string) => AlbertNerError): StorageRef {
    const [kind, type, key, , numel] = id.items;
    const isGlobal = typeof type === 'object' && type !== null && 'kind' in type && type.kind === 'global';
    const dtype = isGlobal ? STORAGE_DTYPES.get(type.name) : undefined;
    if (
      kind !== 'storage' ||
      id.items.length !== this.parts ||
      dtype === undefined ||
      typeof key !== 'string'
    ) {
      throw new PickleError('E_PICKLE_CALL', 'a persistent id that is no storage', offset);
    }
    if (this.parts === 6 && id.items[5] !== null) {
      throw refuse(
        'E_PT_VIEW',
        `the storage ${key.slice(0, 40)} is a view of another; save it with a newer torch`,
      );
    }
    const known = this.byKey.get(key);
    const isLength = typeof numel === 'number' && Number.isSafeInteger(numel) && numel >= 0;
    if (
      !isLength ||
      !Number.isSafeInteger(numel * 8) ||
      (known && (known.dtype !== dtype || known.numel !== numel))
    ) {
      throw refuse(
        'E_STORAGE_SIZE',
        `the storage ${key.slice(0, 40)} has ${String(numel)} elements of ${dtype}`,
      );
    }
    if (known) return known;
    if (this.byKey.size === MAX_TENSORS) throw refuse('E_STORAGE_SIZE', `more than ${MAX_TENSORS} storages`);
    const storage: StorageRef = { kind: 'storage', key, dtype, numel };
    this.byKey.set(key, storage);
    return storage;
  }
}

/** Tensors by name. */
export type StateDict = Map<string, TensorRef>;

function isStateDict(value: PickleValue | undefined): value is StateDict {
  if (!(value instanceof Map) || value.size === 0) return false;
  for (const [key, item] of value) if (typeof key !== 'string' || !isTensor(item)) return false;
  return true;
}

/**
 * Throws ERR_CHECKPOINT_MISMATCH (E_PT_STATE_DICT) when there is none, or several, or not under the key asked for.
 */
export function findStateDict(value: PickleValue, file: string, { key }: StateDictOptions = {}): StateDict {
  const fail = (what: string) =>
    new AlbertNerError('ERR_CHECKPOINT_MISMATCH', `${file}: ${what}`, {
      details: { file, reason: 'E_PT_STATE_DICT' },
    });
  if (!(value instanceof Map)) throw fail('it holds no dict of tensors; save model.state_dict()');
  if (key !== undefined) {
    const chosen = value.get(key);
    if (isStateDict(chosen)) return chosen;
    throw fail(`it has no dict of tensors under ${JSON.stringify(key)}`);
  }
  if (isStateDict(value)) return value;
  const found = USUAL_KEYS.filter((candidate) => isStateDict(value.get(candidate)));
  if (found.length === 1) return value.get(found[0]) as StateDict;
  const keys = [...value.keys()].slice(0, 8).map(String).join(', ');
  throw fail(
    found.length > 1
      ? `it has state dicts under ${found.join(', ')}: choose one with --key`
      : `it has no state dict under ${USUAL_KEYS.join(', ')}; its keys are ${keys || 'none'}: choose with --key`,
  );
}

/**
 * The tensors of a state dict. Throws E_TENSOR_BOUNDS with the byte of the pickle for views that don't lie in their
 * storage; what `placeOf` throws for storages that don't lie in the file.
 *
 *   base     where the pickle begins in the file
 *   placeOf  called for the storages of these tensors only
 */
export function tensorTable(
  dict: StateDict,
  file: CheckpointFile,
  base: number,
  placeOf: (storage: StorageRef) => StoragePlace,
): StoredTensor[] {
  if (dict.size > MAX_TENSORS) throw file.refusal('E_PICKLE_CORRUPT', `${dict.size} tensors`, base);
  return [...dict].map(([name, tensor]) => {
    if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
      throw file.refusal('E_PICKLE_CORRUPT', 'a tensor name that is too long', base + tensor.at);
    }
    checkBounds(name, tensor, file, base);
    const { storage, size, stride, offset } = tensor;
    const place = placeOf(storage);
    const byteOffset = place.byteOffset + offset * (itemSizeOf(storage.dtype) as number);
    const piece = { file, byteOffset, start: size.map(() => 0), shape: size, strides: stride };
    return { name, dtype: storage.dtype, shape: size, pieces: [piece], verify: place.verify };
  });
}

function checkBounds(
  name: string,
  { storage, offset, size, stride, at }: TensorRef,
  file: CheckpointFile,
  base: number,
): void {
  const fail = (what: string) =>
    file.refusal('E_TENSOR_BOUNDS', `${name.slice(0, 80)} ${what}`, base + at, { tensor: name });
  if (size.length !== stride.length || size.length > MAX_RANK) throw fail('has an unsound shape');
  if (![...size, ...stride, offset].every((value) => Number.isSafeInteger(value) && value >= 0)) {
    throw fail('has a negative or an endless size');
  }
  if (size.includes(0)) return;
  const count = elementCount(size);
  const last = size.reduce((sum, length, dim) => sum + (length - 1) * stride[dim], offset);
  if (!(count <= storage.numel) || !(last < storage.numel)) {
    throw fail(`wants ${count} elements up to ${last} of a storage of ${storage.numel}`);
  }
  if (size.some((length, dim) => length > 1 && stride[dim] === 0)) throw fail('repeats elements');
}
