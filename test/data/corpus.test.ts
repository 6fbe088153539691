import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { readCorpus } from '../../lib/data/corpus.js';
import { writeConll } from '../../lib/data/read-conll.js';
import { generateSampleCorpus } from '../../lib/data/sample-corpus.js';
import { openDecompressed } from '../../lib/files.js';
import { runNode } from '../support/child.js';
import { until } from '../support/clock.js';
import { fileWith, pairFolder, refusal, shown } from '../support/corpus-files.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';
import { unavailable } from '../support/unavailable.js';

test('two columns with spaces or tabs, CRLF and a byte order mark read alike', async (t) => {
  const plain = '王 B-PER\n明 I-PER\n在 O\n\n京 B-LOC\n';
  const variants = [
    plain,
    plain.replaceAll(' ', '\t'),
    plain.replaceAll('\n', '\r\n'),
    `\ufeff${plain}`,
    plain.trimEnd(),
    `\n\n${plain}\n\n`,
  ];
  for (const variant of variants) {
    const { sentences, labels, format, scheme } = await readCorpus(await fileWith(t, variant));
    t.deepEqual(shown(sentences), [
      ['王明在', '王明/PER'],
      ['京', '京/LOC'],
    ]);
    t.deepEqual([labels, format, scheme], [['LOC', 'PER'], 'conll', 'BIO']);
  }
});

test('tokens of several characters, emoji and full-width spaces keep exact offsets', async (t) => {
  const file = await fileWith(t, '2024\tB-T\n年\tI-T\n😀\tO\n\u3000\tO\n京\tB-LOC\n');
  const { sentences } = await readCorpus(file);
  t.deepEqual(sentences[0].spans, [
    { start: 0, end: 5, label: 'T' },
    { start: 8, end: 9, label: 'LOC' },
  ]);
});

/** `printf '王 B-PER\n明 I-PER\n。 O\n' | xz | base64` */
const XZ_BASE64 =
  '/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAZ546LIEItUEVSCuaYjiBJLVBFUgrjgIIgTwoAAACXF/BryKek/AABMhogGJQwH7bzfQEAAAAABFla';

test('compressed corpora read as their content, damaged ones are refused', async (t) => {
  const content = '王 B-PER\n明 I-PER\n。 O\n';
  const plain = shown((await readCorpus(await fileWith(t, content))).sentences);
  const zipped = await fileWith(t, gzipSync(content), 'corpus.txt.gz');
  const xz = await fileWith(t, Buffer.from(XZ_BASE64, 'base64'), 'corpus.txt.xz');
  const inline = await fileWith(t, gzipSync('{{PER:王明}}在。\n'), 'inline.txt.gz');
  for (const file of [zipped, xz]) t.deepEqual(shown((await readCorpus(file)).sentences), plain);
  t.is((await readCorpus(inline)).format, 'inline');
  const damaged = await fileWith(t, gzipSync(content).subarray(0, 20), 'corpus.txt.gz');
  const error = await refusal(readCorpus(damaged));
  t.is(error.code, 'ERR_INVALID_DATA');
  t.is(error.details?.file, damaged);
});

test('a compressed corpus that is missing is refused, also as the first one of a process', async (t) => {
  const module = pathToFileURL(join(repoRoot, 'dist', 'lib', 'data', 'corpus.js')).href;
  for (const name of ['missing.txt.xz', 'missing.txt.gz']) {
    const code = `const { readCorpus } = await import('${module}');
      await readCorpus('${name}', { format: 'conll' }).catch((error) => console.log(error.code));`;
    const {
      code: status,
      stdout,
      stderr,
    } = await runNode('--input-type=module', ['-e', code], {
      cwd: await temporaryFolder(t),
    });
    t.is(status, 0, stderr);
    t.is(stdout.trim(), 'ERR_INVALID_DATA');
  }
});

test('a compressed file that is left early is closed', async (t) => {
  const file = await fileWith(t, gzipSync(randomBytes(1 << 22)), 'large.txt.gz');
  if (!existsSync('/proc/self/fd')) return unavailable(t, 'this system does not list the open files');
  const open = async () => (await readdir('/proc/self/fd')).length;
  const before = await open();
  for (let k = 0; k < 20; k += 1) {
    for await (const _ of await openDecompressed(file)) break;
  }
  // A file is closed some turns of the event loop after it is left; without that this never ends.
  await until(async () => (await open()) < before + 5);
  t.pass();
});

test('numbers after characters are places in a word when every token has one', async (t) => {
  const file = await fileWith(
    t,
    '科0\tB-ORG.NAM\n技1\tI-ORG.NAM\n10\tO\n\n字12\tO\n😀0\tO\n\ufffd\ufffd0\tO\n',
  );
  t.deepEqual(shown((await readCorpus(file)).sentences), [['科技1', '科技/ORG.NAM'], ['字😀\ufffd\ufffd']]);
  for (const other of ['技\tO', '技术0\tO', '2\tO', 'a1b\tO']) {
    const mixed = await fileWith(t, `科0\tO\n技1\tO\n\n${other}\n`);
    t.deepEqual(shown((await readCorpus(mixed)).sentences), [['科0技1'], [other.split('\t')[0]]], other);
  }
});

test('BMES and IOB1 corpora are detected and read', async (t) => {
  const bmes = await readCorpus(await fileWith(t, '王 B-NAME\n小 M-NAME\n明 E-NAME\n他 S-NAME\n'));
  t.is(bmes.scheme, 'BMES');
  t.deepEqual(shown(bmes.sentences), [['王小明他', '王小明/NAME', '他/NAME']]);
  const iob1 = await readCorpus(await fileWith(t, '王 I-PER\n明 I-PER\n在 O\n'));
  t.is(iob1.scheme, 'IOB1');
  t.deepEqual(shown(iob1.sentences), [['王明在', '王明/PER']]);
});

test('a pair of files reads from its folder and from its source', async (t) => {
  const folder = await pairFolder(t, '王 明 在\n\n京\n', 'B_PER I_PER O\n\nB_LOC\n');
  for (const path of [folder, join(folder, 'source.txt')]) {
    const { sentences, format } = await readCorpus(path);
    t.is(format, 'pair');
    t.deepEqual(shown(sentences), [
      ['王明在', '王明/PER'],
      ['京', '京/LOC'],
    ]);
    t.deepEqual(
      sentences.map(({ line }) => line),
      [1, 3],
    );
  }
});

test('a pair whose lines or counts differ is refused with file and line', async (t) => {
  const lines = await refusal(readCorpus(await pairFolder(t, '王 明\n京\n', 'B_PER I_PER\n')));
  t.is(lines.code, 'ERR_INVALID_DATA');
  t.is(lines.details.line, 2);
  const counts = await refusal(readCorpus(await pairFolder(t, '京\n王 明\n', 'O\nB_PER\n')));
  t.regex(counts.message, /source\.txt:2: 2 tokens but 1 tags/);
});

test('tags that are none, labels that are not allowed and lines without a tag are refused with file and line', async (t) => {
  const bad = await refusal(readCorpus(await fileWith(t, '王 B-PER\n明 X\n')));
  t.deepEqual([bad.code, bad.details.line], ['ERR_INVALID_DATA', 2]);
  const file = await fileWith(t, '在 O\n\n王 B-PRE\n');
  const label = await refusal(readCorpus(file, { labels: ['PER', 'LOC'] }));
  t.deepEqual([label.code, label.details.line, label.details.file], ['ERR_INVALID_DATA', 3, file]);
  t.regex(label.message, /did you mean PER\?/);
  const inside = readCorpus(await fileWith(t, '王 B-PER\n明 I-ORG\n'), { labels: ['PER', 'LOC'] });
  t.is((await refusal(inside)).details.line, 2);
  t.is((await refusal(readCorpus(await fileWith(t, '王 B-PER\n明\n')))).details.line, 2);
});

test('empty, missing, UTF-16 and broken files are refused with their place', async (t) => {
  t.is((await refusal(readCorpus(await fileWith(t, '')))).code, 'ERR_INVALID_DATA');
  t.is((await refusal(readCorpus(await fileWith(t, '\n\n')))).code, 'ERR_INVALID_DATA');
  t.is((await refusal(readCorpus(join(await temporaryFolder(t), 'none')))).code, 'ERR_INVALID_DATA');
  t.regex(
    (await refusal(readCorpus(await fileWith(t, Uint8Array.from([0xff, 0xfe, 0x2d, 0x4e]))))).message,
    /UTF-16/,
  );
  const broken = Buffer.concat([
    Buffer.from('王 O\n明 O\n'),
    Buffer.from([0xe7, 0x8e, 0x20]),
    Buffer.from(' O\n'),
  ]);
  t.is((await refusal(readCorpus(await fileWith(t, broken)))).details.byteOffset, 12);
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'sub'));
  t.regex((await refusal(readCorpus(folder))).message, /source\.txt and target\.txt.*sub/);
});

test('an illegal inside tag is a warning with its line and reads as O', async (t) => {
  const file = await fileWith(t, '在 O\n明 I-PER\n在 O\n王 B-PER\n');
  const { sentences, warnings } = await readCorpus(file);
  t.deepEqual(shown(sentences), [['在明在王', '王/PER']]);
  t.deepEqual(
    warnings.map(({ line }) => line),
    [2],
  );
});

test('what is written as CoNLL reads back the same', async (t) => {
  const corpus = generateSampleCorpus({ seed: 3, sentences: 200, part: 'train' });
  const { sentences } = await readCorpus(await fileWith(t, writeConll(corpus)));
  const withoutSpace = shown(corpus).map((parts) => parts.map((part) => part.replace(/\s/g, '')));
  t.deepEqual(shown(sentences), withoutSpace);
});

test('the sample corpus is the same for a seed, and its spans are exact', (t) => {
  const options = { seed: 1, sentences: 300, part: 'dev' as const };
  const corpus = generateSampleCorpus(options);
  t.deepEqual(generateSampleCorpus(options), corpus);
  t.notDeepEqual(generateSampleCorpus({ ...options, seed: 2 }), corpus);
  const labels = new Set(corpus.flatMap(({ spans }) => spans.map(({ label }) => label)));
  t.deepEqual([...labels].sort(), ['LOC', 'ORG', 'PER', 'T']);
  for (const { text, spans } of corpus) {
    let last = 0;
    for (const { start, end } of spans) {
      t.true(start >= last && end > start && end <= text.length);
      t.notRegex(text.slice(start, end), /[，。：“”{}]/);
      last = end;
    }
  }
});
