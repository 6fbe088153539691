import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { type Corpus, readCorpus } from '../../lib/data/corpus.js';
import { AlbertNerError } from '../../lib/errors.js';
import { fileWith, pairFolder } from '../support/corpus-files.js';
import { repoRoot } from '../support/paths.js';

const shown = ({ sentences }: Corpus) =>
  sentences.map(({ text, spans }) =>
    [text, ...spans.map(({ start, end, label }) => `${label}:${text.slice(start, end)}`)].join(' '),
  );

const REFUSED: Record<string, [content: string, line: number, message: RegExp]> = {
  'an entity closed by one brace': ['{{PER:李娜}和{{LOC:北京}}\n', 1, /\{\{label:entity\}\}/],
  'an entity that opens within another and takes its end': ['好\n{{PER:李{{LOC:娜}}\n', 2, /\{\{PER:李/],
  'a brace too many': ['{{PER:李娜}}}}\n', 1, /received "\}\}"/],
  'three braces behind an entity': ['{{PER:李娜}}}好\n', 1, /\{\{PER:李娜\}\}\}/],
  'a label of the file in single braces': ['{{PER:李娜}}\n和{PER:王明}\n', 2, /received "\{PER:王明/],
  'a label of the file in single full-width braces': ['{{PER:李娜}}\n和｛PER：王明｝\n', 2, /plain braces/],
  'a full-width colon': ['{{PER：李娜}}\n', 1, /plain colon/],
  'full-width braces': ['｛｛PER:李娜｝｝\n', 1, /plain braces/],
  'full-width braces beside plain ones': ['{{PER:李娜}}和｛｛LOC:北京｝｝\n', 1, /plain braces/],
  'an entity without text': ['{{PER:李娜}}和{{LOC:}}\n', 1, /\{\{LOC:\}\}/],
  'an entity without label': ['{{PER:李娜}}和{{:北京}}\n', 1, /\{\{:北京/],
  'lines that end with CR alone': ['王 B-PER\r明 I-PER\r', 1, /CR within one; convert the line ends/],
  'rows parted by a line separator': [
    '王 B-PER\u2028明 I-PER\u2028',
    1,
    /\\u\{2028\} within one; convert the/,
  ],
  'rows parted by next line': ['王\tB-PER\u0085明\tI-PER', 1, /\\u\{85\} within one/],
  'a token of two words in columns parted by spaces': [
    '我 O\nNew York B-LOC\n',
    2,
    /2 columns, as in line 1, but received 3: "New York B-LOC"/,
  ],
  'a row without one of its columns': [
    '王 n B-PER\n明 I-PER\n',
    2,
    /3 columns, as in line 1, but received 2/,
  ],
  'a numbered row without token': ['1\t王\tB-PER\n2\t\tI-PER\n', 2, /a token and a tag/],
  'a row of nothing that can be seen': ['王 O\n\u200b\n明 O\n', 2, /received "\\u\{200b\}"/],
  'whole sentences for tokens': [
    '王小明昨天在北京大学参加了会议。\tPER\n今天的天气不错，大家都很高兴。\tO\n',
    1,
    /whole sentences|a tag such as/,
  ],
  'whole sentences with tags': [
    '王小明昨天在北京大学参加了会议。\tB-PER\n\n今天的天气不错，大家都很高兴。\tO\n',
    1,
    /whole sentences, such as/,
  ],
  'a label with a character that cannot be seen': ['王\tB-P\u200bER\n', 1, /B-P\\u\{200b\}ER/],
  'such a character in a tag that continues': ['王\tB-PER\n明\tI-P\u200bER\n', 2, /I-P\\u\{200b\}ER/],
  'a combining mark behind a tag': ['王\tB-PER\n明\tI-PER\u0301\n', 2, /I-PER\\u\{301\}/],
  'tags in lower case': ['王\tb-per\n', 1, /B-PER or I_PER but received "b-per"/],
  'an unknown prefix': ['王\tO\n明\tX-PER\n', 2, /received "X-PER"/],
  'IOE2 with tags of another scheme': [
    '李 I-PER\n娜 E-PER\n\n京 I-LOC\n沪 E-LOC\n\n王 B-PER\n',
    1,
    /one scheme but received I-PER .* 2 of 3 entities; write/,
  ],
  'IOB1 with sentences in BIO': ['李 I-PER\n\n王 I-PER\n\n京 B-LOC\n', 1, /one scheme .* 2 of 3 entities/],
  'tags of BMES without begins': ['李 M-PER\n娜 E-PER\n', 1, /one scheme .* 1 of 1 entities/],
  'a JSON array': ['[{"text": "王明", "label": []}]\n', 1, /a JSON array; write each item as a line/],
  'a JSON array over lines': ['[\n  {"text": "王明"}\n]\n', 1, /a JSON array/],
  'a JSON array of arrays': ['[["王明", {"entities": [[0, 2, "PER"]]}]]\n', 1, /a JSON array/],
  'an object over lines': [
    '{\n  "text": "王明"\n}\n',
    1,
    /a whole JSON object for the line but received "\{"/,
  ],
  'the short export of Label Studio': [
    '[{"text": "王", "label": [], "annotation_id": 3}]\n',
    1,
    /Label Studio/,
  ],
  'an export of Label Studio': [
    '[{"id": 1, "data": {"text": "王明"}, "annotations": []}]',
    1,
    /Label Studio/,
  ],
  'a line of Label Studio': ['{"id": 1, "data": {"text": "王明"}, "annotations": []}\n', 1, /Label Studio/],
  'one span with two labels': ['{"text": "王明", "label": [[0, 2, "A"], [0, 2, "B"]]}\n', 1, /no overlap/],
};

for (const [what, [content, line, message]] of Object.entries(REFUSED)) {
  test(`${what}: refused with file and line`, async (t) => {
    const file = await fileWith(t, content);
    const error = (await t.throwsAsync(readCorpus(file), { instanceOf: AlbertNerError })) as AlbertNerError;
    t.is(error.code, 'ERR_INVALID_DATA');
    t.true(error.message.startsWith(`${file}:${line}: `), error.message);
    t.regex(error.message, message);
  });
}

const READ: Record<string, [content: string, sentences: string[], warnings: RegExp[]]> = {
  'a column that counts rows': [
    '1 王 B-PER\n2 明 I-PER\n\n1 在 O\n2 京 B-LOC\n',
    ['王明 PER:王明', '在京 LOC:京'],
    [],
  ],
  'a column that counts the rows of a file': [
    '0\t王\tx\tB-PER\n1\t明\tx\tI-PER\n\n2\t京\tx\tB-LOC\n',
    ['王明 PER:王明', '京 LOC:京'],
    [],
  ],
  'a column that numbers the sentences': [
    '1 王 B-PER\n1 明 I-PER\n\n2 京 B-LOC\n',
    ['王明 PER:王明', '京 LOC:京'],
    [],
  ],
  'a column that counts rows of which some are missing': [
    '1 王 B-PER\n2 明 I-PER\n4 在 O\n',
    ['王明在 PER:王明'],
    [],
  ],
  'numbers that count nothing': ['1 CD B-X\n3 CD O\n', ['13 X:1'], []],
  'documents without blank lines': [
    '-DOCSTART- -X- O\n王 B-PER\n-DOCSTART- -X- O\n明 I-PER\n',
    ['王 PER:王', '明'],
    [/I-PER/],
  ],
  IOE2: ['李 I-PER\n娜 E-PER\n在 O\n京 E-LOC\n沪 E-LOC\n', ['李娜在京沪 PER:李娜 LOC:京 LOC:沪'], []],
  IOE1: ['李 E-PER\n王 I-PER\n明 I-PER\n在 O\n京 I-LOC\n', ['李王明在京 PER:李 PER:王明 LOC:京'], []],
  'characters that cannot be seen behind a tag': [
    '王\tB-PER\u200b\n明\tI-PER\ufeff\n',
    ['王明 PER:王明'],
    [],
  ],
  'IOE2 with tags of single tokens': ['李 I-PER\n娜 E-PER\n京 S-LOC\n', ['李娜京 PER:李娜 LOC:京'], []],
  BILOU: ['李 B-PER\n娜 L-PER\n京 U-LOC\n', ['李娜京 PER:李娜 LOC:京'], []],
  'a column of what cannot be seen behind the tags': [
    '王 B-PER \u200b\n明 I-PER\t\u00a0\n',
    ['王明 PER:王明'],
    [],
  ],
  'tabs at the end of lines': ['王\tB-PER\t\n明\tI-PER\t\t\n', ['王明 PER:王明'], []],
  'a space as token': ['王 B-PER\n  I-PER\n明 I-PER\n', ['王 明 PER:王 明'], []],
  'a space as token among three columns': ['王 n B-PER\n  x I-PER\n明 n I-PER\n', ['王 明 PER:王 明'], []],
  'a space as token in the first row': [' O\n王 B-PER\n', [' 王 PER:王'], []],
  "doccano's older key": ['{"data": "王明在", "label": [[0, 2, "PER"]]}\n', ['王明在 PER:王明'], []],
  'a span that stands there twice': [
    '{"text": "王明在", "label": [[0, 2, "PER"], [0, 2, "PER"]]}\n',
    ['王明在 PER:王明'],
    [/PER "王明" stands there twice/],
  ],
  'an entity before a line break': [
    '{"text": "王\\n明", "label": [[0, 2, "PER"]]}\n',
    ['王\n明 PER:王'],
    [/edges are moved/],
  ],
  'an entity within another': [
    '{{ORG:{{LOC:北京}}大学}}的{{PER:王明}}\n',
    ['北京大学的王明 ORG:北京大学 PER:王明'],
    [/LOC "北京" lies within ORG/],
  ],
  'an entity within the same one': [
    '{{PER:{{PER:王明}}}}好\n',
    ['王明好 PER:王明'],
    [/^PER "王明" stands there twice and is read once$/],
  ],
  'single braces': ['{{PER:王明}}写了 { "a": 1 }\n', ['王明写了 { "a": 1 } PER:王明'], []],
  'nothing annotated': ['王 O\n明 O\n', ['王明'], [/no entity in its 1 sentences/]],
};

for (const [what, [content, sentences, warnings]] of Object.entries(READ)) {
  test(`${what}: read`, async (t) => {
    const corpus = await readCorpus(await fileWith(t, content));
    t.deepEqual(shown(corpus), sentences);
    t.is(corpus.warnings.length, warnings.length, JSON.stringify(corpus.warnings));
    for (const [index, message] of warnings.entries()) t.regex(corpus.warnings[index].message, message);
  });
}

test('characters that cannot be seen around a tag are no part of it in a pair either', async (t) => {
  const folder = await pairFolder(t, '王 明 京\n', 'B_PER\u200b I_PER\u00a0 \ufeffB_LOC\n');
  t.deepEqual(shown(await readCorpus(folder)), ['王明京 PER:王明 LOC:京']);
});

test('an inner entity is read where the outer one is dropped', async (t) => {
  const file = await fileWith(t, '{{product:{{ORG:沃尔沃}}}}好\n');
  t.deepEqual(shown(await readCorpus(file, { rename: { product: null } })), ['沃尔沃好 ORG:沃尔沃']);
});

test('a corpus may come through a pipe, in any form that is one file', async (t) => {
  const code = `import { readCorpus } from './dist/lib/data/corpus.js';
    const { format, sentences } = await readCorpus('/dev/stdin');
    console.log(format, sentences.length);`;
  const file = await fileWith(t, code);
  for (const [content, answer] of [
    ['王 B-PER\n\n明 O\n', 'conll 2'],
    ['{{PER:王}}\n', 'inline 1'],
    ['{"text": "王", "label": []}\n', 'jsonl 1'],
  ]) {
    // A pipe of a shell: Node's own are sockets, which have no name to open.
    const command = `printf '%s' "$1" | "$0" --input-type=module -e "$(cat "$2")"`;
    const args = ['-c', command, process.execPath, content, file];
    const { stdout } = await promisify(execFile)('sh', args, { cwd: repoRoot });
    t.is(stdout, `${answer}\n`);
  }
});
