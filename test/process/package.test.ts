import { execFile } from 'node:child_process';
import {
  access,
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { runNode } from '../support/child.js';
import { repoRoot } from '../support/paths.js';
import { trainTinyModel } from '../support/tiny-model.js';

const run = promisify(execFile);

let folder: string;
let project: string;
let model: string;

/** A project elsewhere with the packed package; its dependencies are those of this checkout. */
test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'albert-ner-test-'));
  project = join(folder, 'project');
  ({ directory: model } = await trainTinyModel(folder));
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], {
    cwd: repoRoot,
  });
  const packed = JSON.parse(stdout);
  const [{ filename }] = Array.isArray(packed)
    ? packed
    : Object.values(packed as Record<string, { filename: string }>);
  const target = join(project, 'node_modules', 'albert-ner');
  await mkdir(target, { recursive: true });
  await run('tar', ['-xzf', join(folder, filename), '--strip-components=1', '-C', target]);
  for (const name of await readdir(join(repoRoot, 'node_modules'))) {
    if (!name.startsWith('.'))
      await symlink(join(repoRoot, 'node_modules', name), join(project, 'node_modules', name)).catch(
        () => {},
      );
  }
});

test.after.always(() => rm(folder, { recursive: true, force: true }));

const addon = join(repoRoot, 'build', 'Release', 'albert_ner.node');
const env = { ...process.env, ALBERT_NER_ADDON: addon };

async function runIn(name: string, code: string, environment: NodeJS.ProcessEnv = env) {
  const file = join(project, name);
  await writeFile(file, code);
  return runNode(file, [model], { cwd: project, env: environment });
}

const BODY = `
  const ner = await AlbertNer.load(process.argv[2]);
  const { entities } = await ner.predict('王小明在北京');
  await ner.dispose();
  console.log(Array.isArray(entities));`;

test('the pretrained encoder stays in the repository', async (t) => {
  const models = await readdir(join(project, 'node_modules', 'albert-ner', 'models'));
  t.true(models.includes('default'));
  t.true((await readdir(join(repoRoot, 'models'))).includes('encoder'));
  t.false(models.includes('encoder'));
});

test('what the READMEs link to is in the package', async (t) => {
  const installed = join(project, 'node_modules', 'albert-ner');
  for (const name of ['README.md', 'README.zh-CN.md']) {
    const text = await readFile(join(installed, name), 'utf8');
    const files = [...text.matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)].map(([, file]) => file);
    t.true(files.length > 5, `${files}`);
    for (const file of files) await t.notThrowsAsync(access(join(installed, file)), file);
  }
});

test('import works from another folder', async (t) => {
  const { code, stdout, stderr } = await runIn('a.mjs', `import { AlbertNer } from 'albert-ner';${BODY}`);
  t.is(code, 0, stderr);
  t.is(stdout, 'true\n');
});

test('require works from another folder and shares its state with import', async (t) => {
  const code = `const { AlbertNer } = require('albert-ner');
    (async () => {${BODY}
      console.log((await import('albert-ner')).AlbertNer === AlbertNer);
    })();`;
  const { code: exit, stdout, stderr } = await runIn('b.cjs', code);
  t.is(exit, 0, stderr);
  t.is(stdout, 'true\ntrue\n');
});

test('without an addon the package imports, works where it needs none, and explains the first native call', async (t) => {
  const code = `import { AlbertNer, EntityScorer, formatReport } from 'albert-ner';
    const scorer = new EntityScorer(['PER']);
    scorer.add([], []);
    console.log(formatReport(scorer.report()).includes('PER'));
    try { await AlbertNer.load(process.argv[2]); } catch (error) { console.log(error.code, /npx albert-ner setup/.test(error.message)); }`;
  const { ALBERT_NER_ADDON, ...bare } = env;
  const { stdout, stderr } = await runIn('c.mjs', code, bare);
  t.is(stdout, 'true\nERR_NATIVE_NOT_FOUND true\n', stderr);
});

/** Code that loads a model in a process that has the addon `loaded`, and prints how that went in the main thread and a worker. */
const besideLoaded = (loaded: string, afterwards = '') => `import { AlbertNer } from 'albert-ner';
  import { rmSync } from 'node:fs';
  import { createRequire } from 'node:module';
  import { fileURLToPath } from 'node:url';
  import { Worker, isMainThread } from 'node:worker_threads';
  if (isMainThread) {
    createRequire(import.meta.url)(${JSON.stringify(loaded)});
    ${afterwards}
  }
  try {
    await (await AlbertNer.load(process.argv[2])).dispose();
    console.log('loaded');
  } catch ({ code, message }) { console.log(code, message); }
  if (isMainThread) new Worker(fileURLToPath(import.meta.url), { argv: process.argv.slice(2) });`;

async function copyOfAddon(name: string): Promise<string> {
  const copy = join(folder, name, 'albert_ner.node');
  await mkdir(join(folder, name));
  await copyFile(addon, copy);
  return realpath(copy);
}

for (const fate of ['that lies there', 'that was deleted since']) {
  test(`beside a copy of the addon ${fate} a second one is refused, in any thread`, async (t) => {
    const copy = await copyOfAddon(fate);
    const afterwards = fate === 'that lies there' ? '' : `rmSync(${JSON.stringify(copy)});`;
    const result = await runIn(`${fate}.mjs`, besideLoaded(copy, afterwards));
    t.like(result, { code: 0, signal: null }, result.stderr);
    const line = `ERR_NATIVE_VERSION The addon ${await realpath(addon)} can't be loaded: this process has loaded another copy of it, ${copy}, and can hold one.`;
    t.deepEqual(
      result.stdout.split('\n').map((text) => text.slice(0, line.length)),
      [line, line, ''],
    );
  });
}

test('the same addon by another name is no second copy', async (t) => {
  const copy = await copyOfAddon('linked');
  const name = join(folder, 'linked', 'again', 'albert_ner.node');
  await mkdir(join(folder, 'linked', 'again'));
  await link(copy, name);
  const result = await runIn('linked.mjs', besideLoaded(copy), { ...env, ALBERT_NER_ADDON: name });
  t.like(result, { code: 0, signal: null }, result.stderr);
  t.is(result.stdout, 'loaded\nloaded\n');
});

test('the package has the sources to build from and nothing of the tests', async (t) => {
  const root = join(project, 'node_modules', 'albert-ner');
  const names = await readdir(root);
  for (const name of [
    'native',
    'cmake',
    'CMakeLists.txt',
    'binding.gyp',
    'scripts',
    'dist',
    'models',
    'LICENSE',
    'README.md',
    'README.zh-CN.md',
  ]) {
    t.true(names.includes(name), name);
  }
  t.deepEqual((await readdir(join(root, 'dist'))).sort(), ['albert', 'lib']);
  t.false(names.includes('test'));
});

test('the command line runs from the package', async (t) => {
  const bin = join(project, 'node_modules', 'albert-ner', 'scripts', 'albert-ner.js');
  const { code, stdout, stderr } = await runNode(
    bin,
    ['predict', '--model', model, '--text', '王小明在北京', '--json'],
    { cwd: project, env },
  );
  t.is(code, 0, stderr);
  t.is(JSON.parse(stdout)[0].text, '王小明在北京');
});
