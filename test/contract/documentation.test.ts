import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { loadConfig } from '../../lib/config/load-config.js';
import { generateSampleCorpus } from '../../lib/data/sample-corpus.js';
import { runNode } from '../support/child.js';
import { repoRoot } from '../support/paths.js';
import { writeTinyFiles } from '../support/tiny-model.js';

let folder: string;

/** A project that has the package installed, with the files the documentation talks about. */
test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'albert-ner-docs-'));
  const { encoder } = await writeTinyFiles(folder);
  await mkdir(join(folder, 'node_modules'));
  await symlink(repoRoot, join(folder, 'node_modules', 'albert-ner'), 'dir');
  await mkdir(join(folder, 'models'));
  await copyFile(join(repoRoot, 'models', 'config.yml'), join(folder, 'models', 'config.yml'));
  await rm(encoder, { recursive: true });
  await mkdir(join(folder, 'texts'));
  const sentences = generateSampleCorpus({ seed: 7, sentences: 600, part: 'train' }).map(({ text }) => text);
  await writeFile(join(folder, 'texts', 'sample.txt'), sentences.join('\n\n'));
  await writeFile(join(folder, 'article.txt'), '王小明在北京工作。\n李思雨去了上海。\n');
  await writeFile(
    join(folder, 'texts.jsonl'),
    '{"id": 1, "text": "王小明在北京"}\n{"id": 2, "text": "你好"}\n',
  );
  await writeFile(join(folder, 'posts.jsonl'), '{"id": 1, "body": "王小明在北京", "likes": 3}\n');
});

test.after.always(() => rm(folder, { recursive: true, force: true }));

const document = (name: string) => readFile(join(repoRoot, name), 'utf8');

/** Commands of a document's indented blocks, comments removed. */
function commandsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^ {4}npx albert-ner (.*)$/gm)].map(([, command]) =>
    command.replace(/ +#.*$/, ''),
  );
}

function codeOf(markdown: string): string[] {
  return [...markdown.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);
}

async function runCommand(command: string) {
  const [words, input, output] = [
    command.replace(/ [<>].*$/, ''),
    / < (\S+)/.exec(command)?.[1],
    / > (\S+)/.exec(command)?.[1],
  ];
  const args = words.split(' ');
  const result = await runNode(join(repoRoot, 'scripts', 'albert-ner.js'), args, {
    cwd: folder,
    input: input && (await readFile(join(folder, input), 'utf8')),
  });
  if (output) await writeFile(join(folder, output), result.stdout);
  return result;
}

test.serial('every command of the README runs as it stands', async (t) => {
  const commands = commandsOf(await document('README.md'));
  t.true(commands.length >= 8, `${commands.length} commands`);
  for (const command of commands) {
    const { code, stderr } = await runCommand(command);
    t.is(code, 0, `${command}\n${stderr}`);
  }
  const lines = (await readFile(join(folder, 'entities.jsonl'), 'utf8')).trim().split('\n');
  t.deepEqual(
    lines.map((line) => JSON.parse(line).id),
    [1, 2],
  );
});

test.serial('every example of the README and of docs/errors.md runs as it stands', async (t) => {
  const examples = [...codeOf(await document('README.md')), ...codeOf(await document('docs/errors.md'))];
  t.true(examples.length >= 3);
  for (const [index, code] of examples.entries()) {
    const file = join(folder, `example-${index}.mjs`);
    await writeFile(file, code);
    const { code: exit, stderr, stdout } = await runNode(file, [], { cwd: folder });
    t.is(exit, 0, `${code}\n${stderr}`);
    t.not(stdout, '', code);
  }
});

/** What the headings of a document are linked by. */
function headingAnchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} -]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('both READMEs have the same commands, examples and links', async (t) => {
  const english = await document('README.md');
  const chinese = await document('README.zh-CN.md');
  t.deepEqual(commandsOf(chinese), commandsOf(english));
  const withoutComments = (code: string[]) => code.map((text) => text.replace(/ *\/\/.*$/gm, ''));
  t.deepEqual(withoutComments(codeOf(chinese)), withoutComments(codeOf(english)));
  const headings = (text: string) => text.match(/^#+ /gm);
  t.deepEqual(headings(chinese), headings(english));
  const links = (text: string) =>
    [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link).filter((link) => !link.startsWith('README'));
  t.deepEqual(links(chinese), links(english));
  for (const link of links(english)) {
    const [file, heading] = link.split('#');
    const text = await document(file);
    t.not(text, '', link);
    if (heading) t.true(headingAnchors(text).includes(heading), link);
  }
});

test('models/README.md lists every setting with its default', async (t) => {
  const text = await document('models/README.md');
  const { settings } = await loadConfig({});
  const table = text.slice(text.indexOf('## Settings'), text.indexOf('## Several corpora'));
  const rows = new Map(
    [...table.matchAll(/^\| `([a-z0-9_.]+)` +\| ([^|]+)\|/gm)].map(([, key, value]) => [key, value.trim()]),
  );
  const flatten = (value: object, prefix = ''): [string, unknown][] =>
    Object.entries(value).flatMap(([key, inner]) =>
      inner !== null && typeof inner === 'object' && !Array.isArray(inner)
        ? flatten(inner, `${prefix}${key}.`)
        : [[prefix + key, inner] as [string, unknown]],
    );
  const expected = flatten(settings);
  t.deepEqual([...rows.keys()].sort(), expected.map(([key]) => key).sort());
  for (const [key, value] of expected) t.is(rows.get(key), value === null ? 'none' : String(value), key);
});
