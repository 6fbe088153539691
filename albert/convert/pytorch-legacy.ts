/**
 * PyTorch files from before 1.6: five pickles (magic number, protocol, system, object, keys of the storages), then the
 * storages' elements, each behind its count.
 */

import { CheckpointFile } from './checkpoint-file.js';
import { itemSizeOf } from './dtypes.js';
import {
  MAX_PICKLE_BYTES,
  PickleError,
  type PickleTuple,
  type PickleValue,
  type StorageRef,
  unpickle,
} from './pickle.js';
import { unpickleIn } from './pytorch-zip.js';
import { findStateDict, type StateDictOptions, StorageTable, tensorTable } from './state-dict.js';
import type { Checkpoint } from './stored-tensor.js';

/** The first pickle: protocol 2, an integer of ten bytes, STOP. */
export const LEGACY_MAGIC = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
const PROTOCOL_VERSION = 1001;
/** Bytes read at first; the object of an ALBERT has a few thousand. */
const FIRST_BYTES = 1 << 20;
const COUNT_BYTES = 8;

/**
 * Opens a file. Rejects with ERR_CHECKPOINT_UNREADABLE: what `unpickle` and `tensorTable` refuse, E_PT_LEGACY (parts
 * that aren't as torch writes them), E_PT_BIG_ENDIAN, E_PT_VIEW, E_STORAGE_SIZE, E_TRUNCATED. With
 * ERR_CHECKPOINT_MISMATCH when there is no state dict.
 */
export async function openPytorchLegacy(path: string, options: StateDictOptions = {}): Promise<Checkpoint> {
  const file = await CheckpointFile.open(path);
  try {
    return await openLegacy(file, options);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openLegacy(file: CheckpointFile, options: StateDictOptions): Promise<Checkpoint> {
  const { value, keys, storages, end } = await readPickles(file);
  const { places, end: dataEnd } = await placeStorages(file, end, keys, storages);
  const dict = findStateDict(value, file.path, options);
  // The pickles were read from the start of the file, and so are their offsets.
  const tensors = tensorTable(dict, file, 0, ({ key }) => ({ byteOffset: places.get(key) as number }));
  const warnings =
    file.size > dataEnd
      ? [`${file.path}: ${file.size - dataEnd} bytes after the last storage are ignored`]
      : [];
  return { format: 'pytorch-legacy', path: file.path, files: [file], tensors, metadata: new Map(), warnings };
}

interface LegacyPickles {
  value: PickleValue;
  /** Of the storages, in file order. */
  keys: string[];
  storages: StorageTable;
  /** Where the storages begin. */
  end: number;
}

/** Reads more of the file as long as the pickles don't end in what was read. */
async function readPickles(file: CheckpointFile): Promise<LegacyPickles> {
  const limit = Math.min(file.size, MAX_PICKLE_BYTES);
  for (let length = Math.min(limit, FIRST_BYTES); ; length = Math.min(limit, 2 * length)) {
    const bytes = await file.bytes(0, length);
    try {
      return unpickleIn(file, 0, () => parsePickles(bytes, file));
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
      if (length === limit) {
        throw file.refusal(
          'E_TRUNCATED',
          `the file ends, or has ${MAX_PICKLE_BYTES} bytes, within its pickles`,
          length,
          {
            actual: file.size,
          },
        );
      }
    }
  }
}

class NeedMore extends Error {}

function parsePickles(bytes: Buffer, file: CheckpointFile): LegacyPickles {
  let end = 0;
  const read = (persistent: (id: PickleTuple, offset: number) => StorageRef): PickleValue => {
    try {
      const pickle = unpickle(bytes, { offset: end, persistent });
      end = pickle.end;
      return pickle.value;
    } catch (error) {
      if (error instanceof PickleError && error.atEnd) throw new NeedMore();
      throw error;
    }
  };
  const noStorage = (_: PickleTuple, offset: number): StorageRef => {
    throw new PickleError('E_PICKLE_CALL', 'a storage where none belongs', offset);
  };
  const fail = (what: string) => file.refusal('E_PT_LEGACY', what, end);
  if (!bytes.subarray(0, LEGACY_MAGIC.length).equals(LEGACY_MAGIC)) throw fail('another magic number');
  end = LEGACY_MAGIC.length;
  const version = read(noStorage);
  if (version !== PROTOCOL_VERSION)
    throw fail(`the protocol ${String(version)} instead of ${PROTOCOL_VERSION}`);
  const system = read(noStorage);
  if (!(system instanceof Map)) throw fail('no description of the system');
  if (system.get('little_endian') !== true) {
    throw file.refusal('E_PT_BIG_ENDIAN', 'it was written on a big-endian machine', end);
  }
  const storages = new StorageTable(6);
  const value = read((id, offset) =>
    storages.add(id, offset, (reason, what) => file.refusal(reason, what, offset)),
  );
  const list = read(noStorage);
  const isKey = (key: PickleValue): key is string => typeof key === 'string';
  if (!Array.isArray(list) || !list.every(isKey)) throw fail('no list of the storages');
  const keys = new Set(list);
  if (
    keys.size !== list.length ||
    keys.size !== storages.byKey.size ||
    !list.every((key) => storages.byKey.has(key))
  ) {
    throw fail("a list of storages that isn't that of the object");
  }
  return { value, keys: list, storages, end };
}

/** Where the elements of each storage begin. */
async function placeStorages(
  file: CheckpointFile,
  begin: number,
  keys: readonly string[],
  storages: StorageTable,
): Promise<{ places: Map<string, number>; end: number }> {
  const bytesOf = ({ numel, dtype }: StorageRef) => COUNT_BYTES + numel * (itemSizeOf(dtype) as number);
  const inOrder = keys.map((key) => storages.byKey.get(key) as StorageRef);
  const end = inOrder.reduce((sum, storage) => sum + bytesOf(storage), begin);
  if (!(end <= file.size)) {
    throw file.refusal('E_TRUNCATED', `it should have ${end} bytes but has ${file.size}`, file.size, {
      expected: end,
      actual: file.size,
    });
  }
  const places = new Map<string, number>();
  let at = begin;
  for (const storage of inOrder) {
    const count = (await file.bytes(at, COUNT_BYTES)).readBigInt64LE();
    if (count !== BigInt(storage.numel)) {
      throw file.refusal('E_STORAGE_SIZE', `a storage of ${count} elements instead of ${storage.numel}`, at);
    }
    places.set(storage.key, at + COUNT_BYTES);
    at += bytesOf(storage);
  }
  return { places, end };
}
