/**
 * An abstract unpickler: it reads the pickles that torch.save writes and can call nothing. A global is a word from a
 * closed list; "reducing" one makes a value of this file; whatever else a pickle asks for is refused with its byte.
 *
 * 1. Nothing is ever looked up, imported or executed. 2. No recursion: a value that holds itself is just a reference.
 * 3. Opcodes, memo, objects and strings are bounded, so memory is bounded by the size of the pickle.
 *
 * Longer than other files: the opcodes, the values they make and the bounds on both are one table.
 */

export type PickleReason = 'E_PICKLE_GLOBAL' | 'E_PICKLE_CALL' | 'E_PICKLE_OPCODE' | 'E_PICKLE_CORRUPT';

/** Why a pickle is refused, and at which byte of it. */
export class PickleError extends Error {
  readonly reason: PickleReason;
  readonly offset: number;
  /** The bytes ended within the pickle: with more of them it might be sound. */
  readonly atEnd: boolean;

  constructor(reason: PickleReason, message: string, offset: number, atEnd = false) {
    super(message);
    this.reason = reason;
    this.offset = offset;
    this.atEnd = atEnd;
  }
}

/** A storage of raw elements, named by a pickle's persistent id. */
export interface StorageRef {
  kind: 'storage';
  key: string;
  dtype: string;
  /** In elements. */
  numel: number;
}

/** A view of a storage. Integers only are certain; whether it lies within the storage isn't. */
export interface TensorRef {
  kind: 'tensor';
  storage: StorageRef;
  offset: number;
  size: readonly number[];
  stride: readonly number[];
  /** Byte of the pickle where it was made. */
  at: number;
}

export class PickleTuple {
  readonly items: readonly PickleValue[];
  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

export type PickleDict = Map<PickleKey, PickleValue>;
type PickleKey = string | number | bigint | boolean | null;

/** A name from the closed list. */
export interface PickleGlobal {
  kind: 'global';
  name: string;
}

/** Integers beyond 2^53 are bigints. */
export type PickleValue =
  | PickleKey
  | PickleTuple
  | PickleValue[]
  | PickleDict
  | PickleGlobal
  | StorageRef
  | TensorRef;

export function isTensor(value: PickleValue | undefined): value is TensorRef {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'tensor';
}

/** Types of storages, by the global that stands for them. */
export const STORAGE_DTYPES: ReadonlyMap<string, string> = new Map([
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.DoubleStorage', 'F64'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
]);

const ORDERED_DICT = 'collections.OrderedDict';
const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';
const SIZE = 'torch.Size';
const CALLABLE: ReadonlySet<string> = new Set([ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, SIZE]);

export const MAX_PICKLE_BYTES = 64 << 20;
const MAX_OPCODES = 8_000_000;
const MAX_OBJECTS = 2_000_000;
const MAX_STACK = 1_000_000;
const MAX_MEMO_INDEX = 4_194_304;
const MAX_MEMO_ENTRIES = 1_000_000;
const MAX_STRING_BYTES = 65_536;
const MAX_GLOBAL_BYTES = 256;
/** The largest integers torch.save writes. */
const MAX_LONG_BYTES = 8;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const SAVE_STATE_DICT = 'weights need none: save model.state_dict() instead';

export interface UnpickleOptions {
  /** Where the pickle begins in `bytes`. */
  offset?: number;
  /** Makes a storage of a persistent id; throws PickleError or an error of its own. */
  persistent: (id: PickleTuple, offset: number) => StorageRef;
}

export interface Unpickled {
  value: PickleValue;
  /** Offset in `bytes` behind its STOP. */
  end: number;
}

/** Reads one pickle of protocol 2. Throws PickleError. */
export function unpickle(bytes: Uint8Array, { offset = 0, persistent }: UnpickleOptions): Unpickled {
  return new Unpickler(bytes, offset, persistent).run();
}

class Unpickler {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly persistent: UnpickleOptions['persistent'];
  /** Byte of the next thing to read, and of the opcode being run. */
  private next: number;
  private at: number;
  private opcodes = 0;
  private objects = 0;
  private readonly stack: PickleValue[] = [];
  /** Heights of the stack at the open marks. */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();

  constructor(bytes: Uint8Array, offset: number, persistent: UnpickleOptions['persistent']) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.persistent = persistent;
    this.next = offset;
    this.at = offset;
  }

  run(): Unpickled {
    if (this.uint8() !== 0x80) throw this.fail('E_PICKLE_OPCODE', 'it is no pickle of protocol 2');
    const protocol = this.uint8();
    if (protocol !== 2) {
      throw this.fail(
        'E_PICKLE_OPCODE',
        `pickle protocol ${protocol}; save it with torch.save and its default protocol 2`,
      );
    }
    for (;;) {
      this.at = this.next;
      const opcode = this.uint8();
      this.opcodes += 1;
      if (this.opcodes > MAX_OPCODES) throw this.corrupt(`more than ${MAX_OPCODES} opcodes`);
      if (opcode === 0x2e) break;
      this.step(opcode);
      if (this.stack.length > MAX_STACK) throw this.corrupt('a stack that is too high');
    }
    const value = this.pop();
    if (this.stack.length > 0 || this.marks.length > 0) throw this.corrupt('values left over at its end');
    return { value, end: this.next };
  }

  /** Runs one opcode: long, for it is their table. The comments are their names. */
  private step(opcode: number): void {
    switch (opcode) {
      case 0x63: // GLOBAL
        this.pushObject(this.global());
        break;
      case 0x71: // BINPUT
        this.put(this.uint8());
        break;
      case 0x72: // LONG_BINPUT
        this.put(this.uint32());
        break;
      case 0x68: // BINGET
        this.get(this.uint8());
        break;
      case 0x6a: // LONG_BINGET
        this.get(this.uint32());
        break;
      case 0x29: // EMPTY_TUPLE
        this.pushObject(new PickleTuple([]));
        break;
      case 0x7d: // EMPTY_DICT
        this.pushObject(new Map());
        break;
      case 0x5d: // EMPTY_LIST
        this.pushObject([]);
        break;
      case 0x28: // MARK
        this.marks.push(this.stack.length);
        if (this.marks.length > MAX_STACK) throw this.corrupt('too many marks');
        break;
      case 0x74: // TUPLE
        this.pushObject(new PickleTuple(this.popToMark()));
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.pushObject(new PickleTuple(this.popMany(opcode - 0x84)));
        break;
      case 0x58: // BINUNICODE
        this.pushObject(this.text(this.uint32(), 'utf-8'));
        break;
      case 0x55: // SHORT_BINSTRING
        this.pushObject(this.text(this.uint8(), 'ascii'));
        break;
      case 0x4a: // BININT
        this.stack.push(this.view.getInt32(this.take(4), true));
        break;
      case 0x4b: // BININT1
        this.stack.push(this.uint8());
        break;
      case 0x4d: // BININT2
        this.stack.push(this.view.getUint16(this.take(2), true));
        break;
      case 0x8a: // LONG1
        this.stack.push(this.long());
        break;
      case 0x47: // BINFLOAT
        this.pushObject(this.view.getFloat64(this.take(8), false));
        break;
      case 0x88: // NEWTRUE
        this.stack.push(true);
        break;
      case 0x89: // NEWFALSE
        this.stack.push(false);
        break;
      case 0x4e: // NONE
        this.stack.push(null);
        break;
      case 0x51: // BINPERSID
        this.persistentId();
        break;
      case 0x52: // REDUCE
        this.reduce();
        break;
      case 0x62: // BUILD
        this.pop();
        if (!(this.top() instanceof Map))
          throw this.fail('E_PICKLE_CALL', 'it sets the state of something that is no dict');
        break;
      case 0x73: // SETITEM
        this.setItems(this.popMany(2));
        break;
      case 0x75: // SETITEMS
        this.setItems(this.popToMark());
        break;
      case 0x61: // APPEND
        this.append(this.popMany(1));
        break;
      case 0x65: // APPENDS
        this.append(this.popToMark());
        break;
      default:
        throw this.unknownOpcode(opcode);
    }
  }

  private fail(reason: PickleReason, message: string): PickleError {
    return new PickleError(reason, message, this.at);
  }

  private corrupt(message: string): PickleError {
    return this.fail('E_PICKLE_CORRUPT', `a damaged pickle: ${message}`);
  }

  private unknownOpcode(opcode: number): PickleError {
    const NEW_OBJECT = 0x81;
    if (opcode === NEW_OBJECT)
      return this.fail('E_PICKLE_OPCODE', `it makes Python objects; ${SAVE_STATE_DICT}`);
    return this.fail(
      'E_PICKLE_OPCODE',
      `the pickle opcode 0x${opcode.toString(16).padStart(2, '0')} isn't one torch.save writes`,
    );
  }

  /** Moves over `count` bytes and returns where they begin. */
  private take(count: number): number {
    const begin = this.next;
    if (begin + count > this.bytes.length) {
      throw new PickleError('E_PICKLE_CORRUPT', 'the pickle has no end', this.at, true);
    }
    this.next += count;
    return begin;
  }

  private uint8(): number {
    return this.bytes[this.take(1)];
  }

  private uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  private text(length: number, encoding: 'utf-8' | 'ascii'): string {
    if (length > MAX_STRING_BYTES) throw this.corrupt(`a string of ${length} bytes`);
    const begin = this.take(length);
    const part = this.bytes.subarray(begin, begin + length);
    if (encoding === 'ascii' && part.some((byte) => byte >= 0x80))
      throw this.corrupt('a string that is not ASCII');
    try {
      return utf8.decode(part);
    } catch {
      throw this.corrupt('a string that is not UTF-8');
    }
  }

  private long(): number | bigint {
    const length = this.uint8();
    if (length > MAX_LONG_BYTES) throw this.corrupt(`an integer of ${length} bytes`);
    const begin = this.take(length);
    let value = 0n;
    for (let k = length - 1; k >= 0; k -= 1) value = (value << 8n) | BigInt(this.bytes[begin + k]);
    value = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  private line(): string {
    const begin = this.next;
    let end = begin;
    while (this.bytes[end] !== 0x0a) {
      if (end - begin >= MAX_GLOBAL_BYTES)
        throw this.fail('E_PICKLE_GLOBAL', 'a global with an endless name');
      if (end >= this.bytes.length) this.take(end - begin + 1);
      end += 1;
    }
    this.next = end + 1;
    const text = Buffer.from(this.bytes.subarray(begin, end)).toString('latin1');
    if (!/^[A-Za-z0-9_.]+$/.test(text)) throw this.fail('E_PICKLE_GLOBAL', 'a global with a strange name');
    return text;
  }

  private global(): PickleGlobal {
    const name = `${this.line()}.${this.line()}`;
    if (CALLABLE.has(name) || STORAGE_DTYPES.has(name)) return { kind: 'global', name };
    throw this.fail('E_PICKLE_GLOBAL', `it asks for the Python object ${name}; ${SAVE_STATE_DICT}`);
  }

  private pushObject(value: PickleValue): void {
    this.objects += 1;
    if (this.objects > MAX_OBJECTS) throw this.corrupt(`more than ${MAX_OBJECTS} objects`);
    this.stack.push(value);
  }

  /** Height below which the open mark's values don't go. */
  private floor(): number {
    return this.marks.at(-1) ?? 0;
  }

  private popMany(count: number): PickleValue[] {
    if (this.stack.length - count < this.floor()) throw this.corrupt('too few values on the stack');
    return this.stack.splice(this.stack.length - count, count);
  }

  private pop(): PickleValue {
    return this.popMany(1)[0];
  }

  private top(): PickleValue {
    if (this.stack.length === this.floor()) throw this.corrupt('too few values on the stack');
    return this.stack[this.stack.length - 1];
  }

  private popToMark(): PickleValue[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw this.corrupt('a mark is missing');
    return this.stack.splice(mark);
  }

  private put(index: number): void {
    const tooLarge = index > MAX_MEMO_INDEX || index > this.opcodes;
    if (tooLarge || (this.memo.size >= MAX_MEMO_ENTRIES && !this.memo.has(index))) {
      throw this.corrupt(`the memo entry ${index}`);
    }
    this.memo.set(index, this.top());
  }

  private get(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw this.corrupt(`the memo has no entry ${index}`);
    this.stack.push(value);
  }

  private persistentId(): void {
    const id = this.pop();
    if (!(id instanceof PickleTuple)) throw this.fail('E_PICKLE_CALL', 'a persistent id that is no tuple');
    this.pushObject(this.persistent(id, this.at));
  }

  private setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) throw this.corrupt('items for something that is no dict');
    if (items.length % 2 !== 0) throw this.corrupt('a key without a value');
    for (let k = 0; k < items.length; k += 2) this.setItem(dict, items[k], items[k + 1]);
  }

  private setItem(dict: PickleDict, key: PickleValue, value: PickleValue): void {
    if (typeof key === 'object' && key !== null) throw this.corrupt('a key that is no string and no number');
    if (dict.has(key))
      throw this.corrupt(`the key ${JSON.stringify(String(key).slice(0, 80))} is given twice`);
    dict.set(key, value);
  }

  private append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.corrupt('an append to something that is no list');
    for (const item of items) list.push(item);
  }

  private reduce(): void {
    const [callee, args] = this.popMany(2);
    const isGlobal =
      typeof callee === 'object' && callee !== null && 'kind' in callee && callee.kind === 'global';
    if (!isGlobal || !(args instanceof PickleTuple))
      throw this.fail('E_PICKLE_CALL', 'a call of something that is no function');
    this.pushObject(this.call(callee.name, args.items));
  }

  private call(name: string, args: readonly PickleValue[]): PickleValue {
    if (name === ORDERED_DICT && args.length <= 1) return this.orderedDict(args[0]);
    if (name === REBUILD_TENSOR && (args.length === 6 || args.length === 7)) return this.tensor(args);
    if (name === REBUILD_PARAMETER && args.length === 3 && isTensor(args[0])) return args[0];
    if (name === SIZE && args.length === 1 && args[0] instanceof PickleTuple) return args[0];
    throw this.fail('E_PICKLE_CALL', `a call of ${name} with ${args.length} arguments`);
  }

  private orderedDict(pairs: PickleValue | undefined): PickleDict {
    const dict: PickleDict = new Map();
    if (pairs === undefined) return dict;
    if (!Array.isArray(pairs)) throw this.fail('E_PICKLE_CALL', 'a dict of something that is no list');
    for (const pair of pairs) {
      const items = pair instanceof PickleTuple ? pair.items : pair;
      if (!Array.isArray(items) || items.length !== 2)
        throw this.fail('E_PICKLE_CALL', 'a dict of something that is no pair');
      this.setItem(dict, items[0], items[1]);
    }
    return dict;
  }

  private tensor([storage, offset, size, stride]: readonly PickleValue[]): TensorRef {
    const isStorage =
      typeof storage === 'object' && storage !== null && 'kind' in storage && storage.kind === 'storage';
    if (!isStorage) throw this.fail('E_PICKLE_CALL', 'a tensor without a storage');
    const integers = (value: PickleValue): number[] => {
      const items = value instanceof PickleTuple ? value.items : [Number.NaN];
      // Beyond 2^53 nothing is in bounds.
      const numbers = items.map((item) => (typeof item === 'bigint' ? Number.POSITIVE_INFINITY : item));
      const sound = numbers.every((item) => Number.isSafeInteger(item) || item === Number.POSITIVE_INFINITY);
      if (!sound) throw this.fail('E_PICKLE_CALL', 'a tensor whose sizes are no integers');
      return numbers as number[];
    };
    const [first] = integers(new PickleTuple([offset]));
    return {
      kind: 'tensor',
      storage,
      offset: first,
      size: integers(size),
      stride: integers(stride),
      at: this.at,
    };
  }
}
