import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import fc from 'fast-check';
import { AlbertNerError } from '../../lib/errors.js';
import { planSequences } from '../../lib/pretraining/sequences.js';
import { listTextFiles, readDocuments } from '../../lib/pretraining/text-files.js';
import { TokenStore } from '../../lib/pretraining/token-store.js';
import { vocabFromText } from '../../lib/pretraining/vocab-from-text.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { temporaryFolder } from '../support/paths.js';
import { buildVocab } from '../support/tiny-model.js';

const TEXT = '第一段。\n第二段，还有。\n\n另一篇文章。\r\n它有两段！\n';
/** `printf '王小明在北京。\n\n李思雨。\n' | xz | base64` */
const XZ_BASE64 =
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAj546L5bCP5piO5Zyo5YyX5Lqs44CCCgrmnY7mgJ3pm6jjgIIKAN6X6bhPwl3iAAE8JAUodm8ftvN9AQAAAAAEWVo=';

async function documentsOf(file: string): Promise<string[]> {
  const found: string[] = [];
  for await (const document of readDocuments(file)) found.push(document);
  return found;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  return error instanceof AlbertNerError ? error.code : `no AlbertNerError: ${error}`;
}

test('documents are parted by blank lines, paragraphs by line ends', async (t) => {
  const file = join(await temporaryFolder(t), 'a.txt');
  await writeFile(file, TEXT);
  t.deepEqual(await documentsOf(file), ['第一段。\n第二段，还有。', '另一篇文章。\n它有两段！']);
});

test('gzip and xz files read as their content', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'a.txt.gz'), gzipSync(TEXT));
  await writeFile(join(folder, 'b.txt.xz'), Buffer.from(XZ_BASE64, 'base64'));
  t.deepEqual(await documentsOf(join(folder, 'a.txt.gz')), [
    '第一段。\n第二段，还有。',
    '另一篇文章。\n它有两段！',
  ]);
  t.deepEqual(await documentsOf(join(folder, 'b.txt.xz')), ['王小明在北京。', '李思雨。']);
});

test('folders are read sorted and deep, other files are left alone', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'deep'));
  for (const name of ['b.txt', 'a.txt.gz', 'note.md', 'deep/c.txt']) {
    await writeFile(join(folder, name), '文');
  }
  const files = await listTextFiles([folder]);
  t.deepEqual(
    files.map(({ path }) => path.slice(folder.length + 1)),
    ['a.txt.gz', 'b.txt', 'deep/c.txt'],
  );
});

test('damaged, missing and wrongly encoded text is refused by name', async (t) => {
  const folder = await temporaryFolder(t);
  const xz = Buffer.from(XZ_BASE64, 'base64');
  await writeFile(join(folder, 'latin.txt'), Buffer.from([0xcd, 0xf5, 0x0a]));
  await writeFile(join(folder, 'cut.txt.gz'), gzipSync(TEXT).subarray(0, 30));
  await writeFile(join(folder, 'cut.txt.xz'), xz.subarray(0, 60));
  await writeFile(join(folder, 'no.txt.xz'), 'not xz at all');
  for (const name of ['latin.txt', 'cut.txt.gz', 'cut.txt.xz', 'no.txt.xz', 'missing.txt']) {
    const error = await t.throwsAsync(documentsOf(join(folder, name)), { instanceOf: AlbertNerError }, name);
    t.is((error as AlbertNerError).code, 'ERR_INVALID_DATA');
    t.true(error.message.includes(name));
  }
  t.is(await codeOf(listTextFiles([join(folder, 'missing')])), 'ERR_INVALID_DATA');
  await mkdir(join(folder, 'empty'));
  t.is(await codeOf(listTextFiles([join(folder, 'empty')])), 'ERR_INVALID_DATA');
});

test('a paragraph of any length is read in bounded pieces and loses nothing', async (t) => {
  const file = join(await temporaryFolder(t), 'long.txt');
  await writeFile(file, '长'.repeat(300_000));
  const documents = await documentsOf(file);
  t.is(documents.join('').length, 300_000);
  t.true(documents.length > 1);
});

test('a vocabulary from text is that of its characters', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'a.txt'), '王王王明明\n\n王北');
  const vocab = await vocabFromText([folder]);
  t.is(vocab.serialize(), buildVocab(['王王王明明', '王北']).serialize());
});

test('a token store holds every unit once, apart from the held-out documents', async (t) => {
  const folder = await temporaryFolder(t);
  const documents = Array.from({ length: 450 }, (_, n) => `第${n}篇，共有四百五十篇。`);
  await writeFile(join(folder, 'a.txt'), documents.join('\n\n'));
  const vocab = buildVocab(documents);
  const files = await listTextFiles([join(folder, 'a.txt')]);
  const store = await TokenStore.open(join(folder, 'tokens'), { files, vocab });
  t.is(store.index.heldOut.documents, 4);
  const tokenizer = new Tokenizer(vocab);
  const expected = documents.map((text) => tokenizer.tokenize(text).ids.join(' ')).sort();
  const found: string[] = [];
  for (const part of [await store.heldOut(), await store.shard(0)]) {
    for (let d = 0; d + 1 < part.offsets.length; d += 1) {
      found.push(part.ids.subarray(part.offsets[d], part.offsets[d + 1]).join(' '));
    }
  }
  t.deepEqual(found.sort(), expected);
});

test('an existing token store is used again, and made anew for other text or another vocabulary', async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'a.txt');
  await writeFile(file, TEXT);
  const directory = join(folder, 'tokens');
  const open = async (vocabText: string) => {
    let read = 0;
    const store = await TokenStore.open(directory, {
      files: await listTextFiles([file]),
      vocab: buildVocab([vocabText]),
      onProgress: () => {
        read += 1;
      },
    });
    return { store, read };
  };
  t.true((await open(TEXT)).read > 0);
  t.is((await open(TEXT)).read, 0);
  t.true((await open(`${TEXT}新`)).read > 0);
  await writeFile(file, `${TEXT}又一句。`);
  t.true((await open(`${TEXT}新`)).read > 0);
  t.deepEqual((await readdir(folder)).sort(), ['a.txt', 'tokens']);
});

test('sequences cover every document without gap or overlap, within the length, at sentence ends', (t) => {
  const END = 9;
  const documents = fc.array(fc.array(fc.integer({ min: 5, max: 9 }), { minLength: 1, maxLength: 200 }), {
    minLength: 1,
    maxLength: 6,
  });
  const property = fc.property(
    documents,
    fc.integer({ min: 16, max: 64 }),
    fc.nat(1000),
    (texts, maxLength, seed) => {
      const offsets = Uint32Array.from([0, ...texts.map(({ length }) => length)]);
      for (let d = 1; d < offsets.length; d += 1) offsets[d] += offsets[d - 1];
      const part = { ids: Uint16Array.from(texts.flat()), offsets };
      const planned = planSequences(part, { maxLength, seed, endsSentence: (id) => id === END });
      const sorted = planned.toSorted((a, b) => a.start - b.start);
      for (const [index, { start, split, end }] of sorted.entries()) {
        const document = offsets.findLastIndex((offset) => offset <= start);
        const before = sorted[index - 1];
        const begins = start === offsets[document] || start === before?.end;
        const fits = end - start <= maxLength - 3 && end <= offsets[document + 1];
        const parted = split === end || (split > start && split < end && part.ids[split - 1] === END);
        if (!begins || !fits || !parted) return false;
      }
      // Only tails of less than eight units are left out.
      const covered = sorted.reduce((sum, { start, end }) => sum + end - start, 0);
      return part.ids.length - covered <= 7 * texts.length;
    },
  );
  t.notThrows(() => fc.assert(property));
});
