/** PyTorch files since 1.6: a zip with the pickled object in data.pkl and every storage as a record of its own. */

import { crc32 } from 'node:zlib';
import { CheckpointFile } from './checkpoint-file.js';
import { itemSizeOf } from './dtypes.js';
import { MAX_PICKLE_BYTES, PickleError, type StorageRef, unpickle } from './pickle.js';
import {
  findStateDict,
  type StateDictOptions,
  type StoragePlace,
  StorageTable,
  tensorTable,
} from './state-dict.js';
import type { Checkpoint } from './stored-tensor.js';
import { readZip, type ZipRecord } from './zip.js';

/**
 * Opens a file. Rejects with ERR_CHECKPOINT_UNREADABLE: what `readZip`, `unpickle` and `tensorTable` refuse,
 * E_ZIP_LAYOUT (other entries), E_PT_TORCHSCRIPT, E_PT_BIG_ENDIAN, E_STORAGE_SIZE; E_ZIP_CRC when a record is read. With
 * ERR_CHECKPOINT_MISMATCH when there is no state dict.
 */
export async function openPytorchZip(path: string, options: StateDictOptions = {}): Promise<Checkpoint> {
  const file = await CheckpointFile.open(path);
  try {
    return await openZip(file, options);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openZip(file: CheckpointFile, options: StateDictOptions): Promise<Checkpoint> {
  const records = await readZip(file);
  const folder = layoutFolder(file, records);
  await checkByteOrder(file, records.get(`${folder}/byteorder`));
  const pickle = records.get(`${folder}/data.pkl`) as ZipRecord;
  if (pickle.end - pickle.begin > MAX_PICKLE_BYTES) {
    throw file.refusal('E_PICKLE_CORRUPT', `a pickle of ${pickle.end - pickle.begin} bytes`, pickle.begin);
  }
  const bytes = await file.bytes(pickle.begin, pickle.end - pickle.begin);
  await checkCrc(file, pickle);
  const storages = new StorageTable(5);
  const value = unpickleIn(file, pickle.begin, () => {
    const read = unpickle(bytes, {
      persistent: (id, offset) =>
        storages.add(id, offset, (reason, what) => file.refusal(reason, what, pickle.begin + offset)),
    });
    if (read.end !== bytes.length)
      throw new PickleError('E_PICKLE_CORRUPT', 'bytes after the pickle', read.end);
    return read.value;
  });
  const places = new Map<string, StoragePlace>();
  const placeOf = (storage: StorageRef) => {
    const known = places.get(storage.key);
    if (known) return known;
    const place = storagePlace(file, records, folder, storage);
    places.set(storage.key, place);
    return place;
  };
  const tensors = tensorTable(findStateDict(value, file.path, options), file, pickle.begin, placeOf);
  return {
    format: 'pytorch-zip',
    path: file.path,
    files: [file],
    tensors,
    metadata: new Map(),
    warnings: [],
  };
}

/** Runs a parser; what it throws becomes a refusal at the byte of the file. */
export function unpickleIn<T>(file: CheckpointFile, base: number, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof PickleError)) throw error;
    throw file.refusal(error.reason, error.message, base + error.offset);
  }
}

/** The one folder all entries are in. */
function layoutFolder(file: CheckpointFile, records: ReadonlyMap<string, ZipRecord>): string {
  const names = [...records.keys()];
  const folder = names[0]?.split('/')[0] ?? '';
  const inside = (name: string) => records.has(`${folder}/${name}`);
  if (inside('constants.pkl')) {
    const what = 'a TorchScript module; save model.state_dict() with torch.save instead';
    throw file.refusal('E_PT_TORCHSCRIPT', what, records.get(`${folder}/constants.pkl`)?.begin ?? 0);
  }
  if (!inside('data.pkl') || !names.every((name) => name.startsWith(`${folder}/`))) {
    throw file.refusal('E_ZIP_LAYOUT', 'a zip file, but not one of torch.save; unpack an archive first', 0);
  }
  return folder;
}

async function checkByteOrder(file: CheckpointFile, record: ZipRecord | undefined): Promise<void> {
  if (!record) return;
  const text = (await file.bytes(record.begin, Math.min(record.end - record.begin, 16))).toString('latin1');
  if (text !== 'little')
    throw file.refusal('E_PT_BIG_ENDIAN', `the byte order ${JSON.stringify(text)}`, record.begin);
}

function storagePlace(
  file: CheckpointFile,
  records: ReadonlyMap<string, ZipRecord>,
  folder: string,
  { key, dtype, numel }: StorageRef,
): StoragePlace {
  if (!/^[0-9]{1,10}$/.test(key))
    throw file.refusal('E_STORAGE_SIZE', `a storage ${JSON.stringify(key.slice(0, 40))}`, 0);
  const record = records.get(`${folder}/data/${key}`);
  if (!record && numel === 0) return { byteOffset: 0 };
  const expected = numel * (itemSizeOf(dtype) as number);
  const actual = record ? record.end - record.begin : 0;
  if (!record || actual !== expected) {
    throw file.refusal(
      'E_STORAGE_SIZE',
      `the storage ${key} has ${actual} bytes instead of ${expected}`,
      record?.begin ?? 0,
    );
  }
  let checked: Promise<void> | undefined;
  const verify = () => {
    checked ??= checkCrc(file, record);
    return checked;
  };
  return { byteOffset: record.begin, verify };
}

async function checkCrc(file: CheckpointFile, { name, begin, end, crc }: ZipRecord): Promise<void> {
  let actual = 0;
  await file.forEachChunk(begin, end, (chunk) => {
    actual = crc32(chunk, actual);
  });
  if (actual !== crc)
    throw file.refusal('E_ZIP_CRC', `the checksum of ${JSON.stringify(name.slice(0, 80))} differs`, begin);
}
