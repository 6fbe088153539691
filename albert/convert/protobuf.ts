/** Reading protocol buffers field by field, as far as TensorFlow's bundles need it. */

/** What is wrong, and at which byte of the message. */
export class ProtobufError extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

export interface Varint {
  /** Infinity above 2^53-1: no count, size or offset may be so large. */
  value: number;
  /** Offset after it. */
  next: number;
}

const MAX_VARINT_BYTES = 10;

/** A little-endian base-128 number of at most `bits` bits; null when it is longer or `bytes` end within it. */
export function readVarint(bytes: Uint8Array, offset: number, bits: 32 | 64 = 64): Varint | null {
  const limit = bits === 64 ? MAX_VARINT_BYTES : 5;
  // Of the last byte's seven bits these many count.
  const lastMaximum = 2 ** (bits - 7 * (limit - 1)) - 1;
  let value = 0;
  for (let count = 0; count < limit; count += 1) {
    const byte = bytes[offset + count];
    if (byte === undefined) return null;
    if (count === limit - 1 && byte > lastMaximum) return null;
    value += (byte & 0x7f) * 128 ** count;
    if (byte < 0x80) {
      const safe = Number.isSafeInteger(value) ? value : Number.POSITIVE_INFINITY;
      return { value: safe, next: offset + count + 1 };
    }
  }
  return null;
}

/** One field; `offset` is where it starts in the message. */
export type ProtobufField =
  | { number: number; wire: 'varint'; value: number; offset: number }
  | { number: number; wire: 'fixed32'; value: number; offset: number }
  | { number: number; wire: 'fixed64'; offset: number }
  | { number: number; wire: 'bytes'; value: Uint8Array; valueOffset: number; offset: number };

/** The fields of a message in their order. Throws ProtobufError. */
export function* protobufFields(message: Uint8Array): Generator<ProtobufField> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let offset = 0;
  while (offset < message.length) {
    const tag = readVarint(message, offset, 32);
    if (tag === null || tag.value < 8) throw new ProtobufError('a damaged field tag', offset);
    const number = Math.floor(tag.value / 8);
    const start = offset;
    const room = message.length - tag.next;
    offset = tag.next;
    switch (tag.value % 8) {
      case 0: {
        const varint = readVarint(message, offset);
        if (varint === null) throw new ProtobufError('a damaged number', offset);
        offset = varint.next;
        yield { number, wire: 'varint', value: varint.value, offset: start };
        break;
      }
      case 1:
        if (room < 8) throw new ProtobufError('a field past the end', start);
        offset += 8;
        yield { number, wire: 'fixed64', offset: start };
        break;
      case 2: {
        const length = readVarint(message, offset);
        if (length === null || length.value > message.length - length.next) {
          throw new ProtobufError('a field past the end', start);
        }
        offset = length.next + length.value;
        const value = message.subarray(length.next, offset);
        yield { number, wire: 'bytes', value, valueOffset: length.next, offset: start };
        break;
      }
      case 5:
        if (room < 4) throw new ProtobufError('a field past the end', start);
        yield { number, wire: 'fixed32', value: view.getUint32(offset, true), offset: start };
        offset += 4;
        break;
      default:
        throw new ProtobufError('a field of an unsupported wire type', start);
    }
  }
}
