/**
 * TensorBoard event files: scalars of a run, appended as they come. A record is its length, the length's checksum, the
 * data and the data's checksum; the data is an Event message of four fields.
 */

import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { maskedCrc32c } from '../../albert/convert/crc32c.js';

/** Wire types of protocol buffers. */
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const key = (field: number, wire: number) => Buffer.from([(field << 3) | wire]);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

function fixed64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

function fixed32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function message(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([key(field, WIRE.bytes), varint(content.length), content]);
}

function record(data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(16 + data.length);
  bytes.writeBigUInt64LE(BigInt(data.length));
  bytes.writeUInt32LE(maskedCrc32c(bytes.subarray(0, 8)), 8);
  bytes.set(data, 12);
  bytes.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return bytes;
}

/** An Event with a summary of scalars. */
function scalarEvent(seconds: number, step: number, scalars: Readonly<Record<string, number>>): Buffer {
  const values = Object.entries(scalars).map(([tag, value]) =>
    message(1, Buffer.concat([message(1, Buffer.from(tag)), key(2, WIRE.fixed32), fixed32(value)])),
  );
  return Buffer.concat([
    key(1, WIRE.fixed64),
    fixed64(seconds),
    key(2, WIRE.varint),
    varint(step),
    message(5, Buffer.concat(values)),
  ]);
}

export interface TensorBoardWriter {
  /** Scalars of a step, by tag: "train/loss". */
  write(step: number, scalars: Readonly<Record<string, number>>): void;
}

/** Appends to a new file in `folder`, made when the first scalars come. */
export function tensorBoardWriter(folder: string): TensorBoardWriter {
  let file: string | null = null;
  return {
    write(step, scalars) {
      const seconds = Date.now() / 1000;
      if (file === null) {
        mkdirSync(folder, { recursive: true });
        file = join(folder, `events.out.tfevents.${Math.floor(seconds)}.${process.pid}.albert-ner`);
        const version = message(3, Buffer.from('brain.Event:2'));
        appendFileSync(file, record(Buffer.concat([key(1, WIRE.fixed64), fixed64(seconds), version])));
      }
      appendFileSync(file, record(scalarEvent(seconds, step, scalars)));
    },
  };
}
