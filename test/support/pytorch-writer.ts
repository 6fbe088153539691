/** Writes PyTorch files as torch.save does, in both layouts, and with any part wrong on request. */

import { crc32 } from 'node:zlib';

const uint = (value: number, bytes: 1 | 2 | 4 | 8) => {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 8) buffer.writeBigUInt64LE(BigInt(value));
  else buffer.writeUIntLE(value, 0, bytes);
  return buffer;
};

/** The opcodes of a pickle, for putting one together. */
export const op = {
  proto: Buffer.from([0x80, 2]),
  stop: Buffer.from('.'),
  mark: Buffer.from('('),
  none: Buffer.from('N'),
  emptyTuple: Buffer.from(')'),
  emptyDict: Buffer.from('}'),
  emptyList: Buffer.from(']'),
  tuple: Buffer.from('t'),
  reduce: Buffer.from('R'),
  build: Buffer.from('b'),
  setItem: Buffer.from('s'),
  setItems: Buffer.from('u'),
  append: Buffer.from('a'),
  appends: Buffer.from('e'),
  persistentId: Buffer.from('Q'),
  false: Buffer.from([0x89]),
  true: Buffer.from([0x88]),
  global: (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`),
  put: (index: number) => Buffer.concat([Buffer.from('r'), uint(index, 4)]),
  get: (index: number) => Buffer.concat([Buffer.from('j'), uint(index, 4)]),
  text: (text: string) => {
    const bytes = Buffer.from(text);
    return Buffer.concat([Buffer.from('X'), uint(bytes.length, 4), bytes]);
  },
  integer: (value: number | bigint) => {
    if (typeof value === 'number' && value >= -(2 ** 31) && value < 2 ** 31) {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(value);
      return Buffer.concat([Buffer.from('J'), bytes]);
    }
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    return Buffer.concat([Buffer.from([0x8a, 8]), bytes]);
  },
};

export const pickle = (...parts: Uint8Array[]) => Buffer.concat([op.proto, ...parts, op.stop]);

export interface TorchStorage {
  key: string;
  /** FloatStorage and so on. */
  type: string;
  bytes: Buffer;
  /** Claimed elements. */
  numel: number | bigint;
}

export interface TorchTensor {
  name: string;
  storage: TorchStorage;
  size: readonly (number | bigint)[];
  stride: readonly (number | bigint)[];
  offset?: number | bigint;
  /** As nn.Parameter. */
  parameter?: boolean;
}

const ITEM_SIZES: Record<string, number> = {
  FloatStorage: 4,
  HalfStorage: 2,
  BFloat16Storage: 2,
  DoubleStorage: 8,
  LongStorage: 8,
};

let lastKey = 0;

export function storage(type: string, data: ArrayBufferView, key = String(lastKey)): TorchStorage {
  lastKey += 1;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return { key, type, bytes, numel: bytes.length / ITEM_SIZES[type] };
}

export type Layout = 'zip' | 'legacy';

export const storageId = ({ type, key, numel }: TorchStorage, layout: Layout, view: Uint8Array = op.none) =>
  Buffer.concat([
    op.mark,
    op.text('storage'),
    op.global('torch', type),
    op.text(key),
    op.text('cpu'),
    op.integer(numel),
    ...(layout === 'legacy' ? [view] : []),
    op.tuple,
    op.persistentId,
  ]);

const integers = (values: readonly (number | bigint)[]) =>
  Buffer.concat([op.mark, ...values.map((value) => op.integer(value)), op.tuple]);

const orderedDict = Buffer.concat([op.global('collections', 'OrderedDict'), op.emptyTuple, op.reduce]);

export function tensorObject(tensor: TorchTensor, layout: Layout): Buffer {
  const plain = Buffer.concat([
    op.global('torch._utils', '_rebuild_tensor_v2'),
    op.mark,
    storageId(tensor.storage, layout),
    op.integer(tensor.offset ?? 0),
    integers(tensor.size),
    integers(tensor.stride),
    op.false,
    orderedDict,
    op.tuple,
    op.reduce,
  ]);
  if (!tensor.parameter) return plain;
  const args = Buffer.concat([op.mark, plain, op.true, orderedDict, op.tuple]);
  return Buffer.concat([op.global('torch._utils', '_rebuild_parameter'), args, op.reduce]);
}

/** An OrderedDict of tensors with the metadata that state dicts carry. */
export function stateDictObject(tensors: readonly TorchTensor[], layout: Layout): Buffer {
  const items = tensors.flatMap((tensor) => [op.text(tensor.name), tensorObject(tensor, layout)]);
  const version = Buffer.concat([op.emptyDict, op.text('version'), op.integer(1), op.setItem]);
  const metadata = Buffer.concat([orderedDict, op.text(''), version, op.setItem]);
  const state = Buffer.concat([op.emptyDict, op.text('_metadata'), metadata, op.setItem]);
  return Buffer.concat([orderedDict, op.mark, ...items, op.setItems, state, op.build]);
}

export interface ZipEntry {
  name: string;
  data: Buffer;
  method?: number;
  flags?: number;
  disk?: number;
  /** Claimed by the directory. */
  size?: number;
  compressedSize?: number;
  crc?: number;
  localName?: string;
  localMethod?: number;
  /** Claimed place of the local header. */
  localOffset?: number;
  /** Not written at all, only named in the directory. */
  ghost?: boolean;
}

export interface ZipOptions {
  zip64?: boolean;
  comment?: Buffer;
  /** Claimed place of the directory. */
  directoryOffset?: number;
  /** Claimed number of entries. */
  count?: number;
  disk?: number;
}

/** Local headers without sizes and data descriptors after the data, as torch writes them. */
export function zipFile(
  entries: readonly ZipEntry[],
  { zip64 = true, comment = Buffer.alloc(0), ...claims }: ZipOptions = {},
): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let length = 0;
  const add = (part: Buffer) => {
    parts.push(part);
    length += part.length;
  };
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const localName = Buffer.from(entry.localName ?? entry.name);
    const { data, method = 0, flags = 0x0808 } = entry;
    const localOffset = entry.localOffset ?? length;
    const crc = entry.crc ?? crc32(data);
    if (!entry.ghost) {
      const extra = Buffer.concat([Buffer.from('FB'), uint(3, 2), Buffer.from('ZZZ')]);
      const fields = [
        uint(0x04034b50, 4),
        uint(0, 2),
        uint(flags, 2),
        uint(entry.localMethod ?? method, 2),
        Buffer.alloc(16),
      ];
      add(Buffer.concat([...fields, uint(localName.length, 2), uint(extra.length, 2), localName, extra]));
      add(data);
      add(Buffer.concat([uint(0x08074b50, 4), uint(crc, 4), uint(data.length, 4), uint(data.length, 4)]));
    }
    const fields = [
      uint(0x02014b50, 4),
      uint(0, 4),
      uint(flags, 2),
      uint(method, 2),
      uint(0, 4),
      uint(crc, 4),
    ];
    const sizes = [
      uint(entry.compressedSize ?? entry.size ?? data.length, 4),
      uint(entry.size ?? data.length, 4),
    ];
    const rest = [uint(name.length, 2), uint(0, 4), uint(entry.disk ?? 0, 2), uint(0, 2), uint(0, 4)];
    directory.push(Buffer.concat([...fields, ...sizes, ...rest, uint(localOffset, 4), name]));
  }
  const begin = length;
  for (const part of directory) add(part);
  const [offset, size, count] = [
    claims.directoryOffset ?? begin,
    length - begin,
    claims.count ?? entries.length,
  ];
  if (zip64) {
    const at = length;
    add(
      Buffer.concat([
        ...[uint(0x06064b50, 4), uint(44, 8), uint(0, 4), uint(claims.disk ?? 0, 4), uint(0, 4)],
        ...[count, count, size, offset].map((value) => uint(value, 8)),
      ]),
    );
    add(Buffer.concat([uint(0x07064b50, 4), uint(0, 4), uint(at, 8), uint(1, 4)]));
  }
  const disk = uint(claims.disk ?? 0, 2);
  const counts = [uint(count & 0xffff, 2), uint(count & 0xffff, 2)];
  add(
    Buffer.concat([
      uint(0x06054b50, 4),
      disk,
      disk,
      ...counts,
      uint(size, 4),
      uint(offset, 4),
      uint(comment.length, 2),
      comment,
    ]),
  );
  return Buffer.concat(parts);
}

const storagesOf = (tensors: readonly TorchTensor[]) => [
  ...new Set(tensors.map(({ storage: used }) => used)),
];

export interface TorchZipOptions extends ZipOptions {
  /** The pickle; default a state dict of the tensors. */
  object?: Buffer;
  folder?: string;
  /** Changes the entries before they are written. */
  entries?: (entries: ZipEntry[]) => ZipEntry[];
}

export function torchZip(
  tensors: readonly TorchTensor[],
  { object, folder = 'archive', entries = (same) => same, ...options }: TorchZipOptions = {},
): Buffer {
  const data = object ?? pickle(stateDictObject(tensors, 'zip'));
  const records = storagesOf(tensors).map(({ key, bytes }) => ({
    name: `${folder}/data/${key}`,
    data: bytes,
  }));
  const all: ZipEntry[] = [
    { name: `${folder}/data.pkl`, data },
    { name: `${folder}/byteorder`, data: Buffer.from('little') },
    ...records,
    { name: `${folder}/version`, data: Buffer.from('3\n') },
  ];
  return zipFile(entries(all), options);
}

export interface LegacyOptions {
  object?: Buffer;
  /** Keys listed behind the object. */
  keys?: readonly string[];
  littleEndian?: boolean;
  protocol?: number;
  /** Claimed counts of elements. */
  count?: (storage: TorchStorage) => number;
  more?: Buffer;
}

export const LEGACY_HEAD = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');

export function torchLegacy(
  tensors: readonly TorchTensor[],
  { object, keys, littleEndian = true, protocol = 1001, count, more = Buffer.alloc(0) }: LegacyOptions = {},
): Buffer {
  const storages = storagesOf(tensors).sort((a, b) => (a.key < b.key ? -1 : 1));
  const system = Buffer.concat([
    op.emptyDict,
    op.mark,
    op.text('protocol_version'),
    op.integer(1001),
    op.text('little_endian'),
    littleEndian ? op.true : op.false,
    op.setItems,
  ]);
  const list = (keys ?? storages.map(({ key }) => key)).map((key) => op.text(key));
  return Buffer.concat([
    LEGACY_HEAD,
    pickle(op.integer(protocol)),
    pickle(system),
    object ?? pickle(stateDictObject(tensors, 'legacy')),
    pickle(op.emptyList, op.mark, ...list, op.appends),
    ...storages.flatMap((each) => [uint(count?.(each) ?? Number(each.numel), 8), each.bytes]),
    more,
  ]);
}
