import test from 'ava';
import fc from 'fast-check';
import { type ByteLine, byteLines } from '../../lib/data/byte-lines.js';

async function* inChunks(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let place = 0;
  for (let k = 0; place < bytes.length; k += 1) {
    const size = sizes.length === 0 ? bytes.length : sizes[k % sizes.length];
    yield bytes.subarray(place, place + size);
    place += size;
  }
}

async function linesOf(content: string | Uint8Array, sizes: readonly number[] = []): Promise<ByteLine[]> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const lines: ByteLine[] = [];
  for await (const line of byteLines(inChunks(bytes, sizes))) lines.push(line);
  return lines;
}

const texts = (lines: readonly ByteLine[]) => lines.map(({ text }) => text);

test('lines end at LF and CRLF, not at what Unicode calls line ends', async (t) => {
  const lines = await linesOf('王\u2028明\u2029\u0085\v\f\rx\r\n\n  \n小');
  t.deepEqual(texts(lines), ['王\u2028明\u2029\u0085\v\f\rx', '', '  ', '小']);
  t.deepEqual(
    lines.map(({ number }) => number),
    [1, 2, 3, 4],
  );
});

test('a byte order mark at the beginning is left out, one elsewhere is text', async (t) => {
  t.deepEqual(texts(await linesOf('\ufeff王\n\ufeff明\n')), ['王', '\ufeff明']);
  t.deepEqual(texts(await linesOf('\ufeff')), ['']);
  t.deepEqual(texts(await linesOf('')), []);
});

test('a line that is not UTF-8 is told with its byte, and the next one is read', async (t) => {
  const bytes = Buffer.concat([
    Buffer.from('王\n小'),
    Buffer.from([0xff]),
    Buffer.from('明\n李\n'),
    Buffer.from([0xe7, 0x8e]),
  ]);
  for (const sizes of [[], [1], [3]]) {
    t.deepEqual(await linesOf(bytes, sizes), [
      { number: 1, text: '王' },
      { number: 2, text: null, invalidByte: 7 },
      { number: 3, text: '李' },
      // It ends in the middle of a character, which begins there.
      { number: 4, text: null, invalidByte: 16 },
    ]);
  }
});

test('lines are the same however the bytes are cut', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme' })),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      async (parts, sizes) => {
        const content = parts.join('\n');
        t.deepEqual(await linesOf(content, sizes), await linesOf(content));
      },
    ),
  );
});
