import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { crc32c, maskedCrc32c } from '../../albert/convert/crc32c.js';
import { tensorBoardWriter } from '../../lib/report/tensorboard.js';
import { temporaryFolder } from '../support/paths.js';

/** Vectors of RFC 3720, appendix B.4. */
test('the checksum is CRC-32C', (t) => {
  t.is(crc32c(new Uint8Array(32)), 0x8a9136aa);
  t.is(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  t.is(crc32c(Uint8Array.from({ length: 32 }, (_, k) => k)), 0x46dd794e);
  t.is(crc32c(Buffer.from('123456789')), 0xe3069283);
});

/** Fields of a protocol-buffer message: number to payloads. */
function fields(bytes: Buffer): Map<number, Buffer[]> {
  const found = new Map<number, Buffer[]>();
  let place = 0;
  const varint = () => {
    const start = place;
    while (bytes[place++] & 0x80);
    return bytes.subarray(start, place);
  };
  const number = (encoded: Buffer) => encoded.reduce((sum, byte, k) => sum + (byte & 0x7f) * 2 ** (7 * k), 0);
  while (place < bytes.length) {
    const key = number(varint());
    const wire = key & 7;
    let payload: Buffer;
    if (wire === 0) payload = varint();
    else {
      const length = wire === 2 ? number(varint()) : wire === 1 ? 8 : 4;
      payload = bytes.subarray(place, place + length);
      place += length;
    }
    found.set(key >> 3, [...(found.get(key >> 3) ?? []), payload]);
  }
  return found;
}

test('scalars come back from the event file with tag, step and value', async (t) => {
  const folder = join(await temporaryFolder(t), 'board');
  const writer = tensorBoardWriter(folder);
  writer.write(300, { 'train/loss': 1.5, 'train/accuracy': 0.25 });
  writer.write(100_000, { 'train/loss': -2 });
  const [name] = await readdir(folder);
  t.regex(name, /^events\.out\.tfevents\.\d+/);
  const bytes = await readFile(join(folder, name));
  const events: Map<number, Buffer[]>[] = [];
  for (let place = 0; place < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(place));
    t.is(bytes.readUInt32LE(place + 8), maskedCrc32c(bytes.subarray(place, place + 8)));
    const data = bytes.subarray(place + 12, place + 12 + length);
    t.is(bytes.readUInt32LE(place + 12 + length), maskedCrc32c(data));
    events.push(fields(data));
    place += 16 + length;
  }
  t.is(events[0].get(3)?.[0].toString(), 'brain.Event:2');
  const read = events.slice(1).map((event) => ({
    step: event.get(2)?.[0].reduce((sum, byte, k) => sum + (byte & 0x7f) * 2 ** (7 * k), 0),
    values: (fields(event.get(5)?.[0] as Buffer).get(1) ?? []).map((value) => {
      const parts = fields(value);
      return [parts.get(1)?.[0].toString(), parts.get(2)?.[0].readFloatLE()];
    }),
  }));
  t.deepEqual(read, [
    {
      step: 300,
      values: [
        ['train/loss', 1.5],
        ['train/accuracy', 0.25],
      ],
    },
    { step: 100_000, values: [['train/loss', -2]] },
  ]);
});
