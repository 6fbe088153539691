import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { AlbertNerError } from '../../lib/errors.js';
import { Vocab } from '../../lib/text/vocab.js';
import { temporaryFolder } from '../support/paths.js';
import { buildVocab } from '../support/tiny-model.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const SPECIAL = '[PAD]\n[UNK]\n[CLS]\n[SEP]\n';

test('ids are line numbers, and only a newline ends a line', (t) => {
  const vocab = Vocab.parse(bytes(`${SPECIAL}王\n\u2028\n##明`));
  t.is(vocab.size, 7);
  t.is(vocab.idOf('\u2028'), 5);
  t.is(vocab.idOf('##明'), 6);
  t.is(vocab.idOf('明'), undefined);
  t.deepEqual([vocab.padId, vocab.unkId, vocab.clsId, vocab.sepId, vocab.maskId], [0, 1, 2, 3, -1]);
});

test('CRLF, a byte order mark and a missing last newline change nothing', (t) => {
  const plain = Vocab.parse(bytes(`${SPECIAL}王\n`));
  const other = Vocab.parse(bytes(`\ufeff${SPECIAL}王`.replaceAll('\n', '\r\n')));
  t.is(other.serialize(), plain.serialize());
});

test('a vocabulary that repeats, lacks a special token or is not UTF-8 is refused with its line', (t) => {
  const refused = (data: Uint8Array) =>
    t.throws(() => Vocab.parse(data, 'v.txt'), {
      instanceOf: AlbertNerError,
      code: 'ERR_CHECKPOINT_UNREADABLE',
    });
  t.is((refused(bytes(`${SPECIAL}王\n王\n`)) as AlbertNerError).details.line, 6);
  t.is((refused(bytes('[PAD]\n[UNK]\n[CLS]\n')) as AlbertNerError).details.token, '[SEP]');
  refused(Uint8Array.from([0x5b, 0xff, 0xfe]));
  refused(bytes(''));
});

test('a missing file is ERR_MODEL_NOT_FOUND', async (t) => {
  const file = join(await temporaryFolder(t), 'vocab.txt');
  await t.throwsAsync(Vocab.read(file), { code: 'ERR_MODEL_NOT_FOUND' });
  await writeFile(file, SPECIAL);
  t.is((await Vocab.read(file)).size, 4);
});

test('a built vocabulary has special tokens, ASCII, Chinese punctuation and characters by frequency', (t) => {
  const vocab = buildVocab(['王王王明明É', '明王北']);
  t.is(vocab.clsId, 2);
  for (const token of ['a', '~', '“', '，', '…']) t.not(vocab.idOf(token), undefined, token);
  t.is(vocab.idOf('A'), undefined);
  t.true((vocab.idOf('王') as number) < (vocab.idOf('明') as number));
  t.true((vocab.idOf('明') as number) < (vocab.idOf('北') as number));
  t.is(buildVocab(['王王明'], { minCount: 2 }).idOf('明'), undefined);
  t.is(buildVocab(['王明'], { maxSize: 8 }).idOf('明'), undefined);
});
