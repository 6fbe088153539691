import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { runNode } from '../support/child.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';

const helper = pathToFileURL(join(repoRoot, 'dist', 'test', 'support', 'unavailable.js')).href;

const PASSES = `test('adds', (t) => t.is(1 + 1, 2));`;
const FAILS = `test('multiplies', (t) => t.is(2 * 2, 5));`;
const CANT_RUN = `test('computes (on a GPU)', (t) => unavailable(t, 'there is no GPU'));`;

/** The output and exit code of run-tests.js on a project with these tests, in two files. */
async function runTests(t: ExecutionContext, tests: readonly string[], mayNotRun?: readonly string[]) {
  const folder = await temporaryFolder(t);
  await symlink(join(repoRoot, 'node_modules'), join(folder, 'node_modules'), 'dir');
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  await mkdir(join(folder, 'test'));
  const head = `import test from 'ava';\nimport { unavailable } from '${helper}';\n`;
  await writeFile(join(folder, 'test', 'numbers.js'), head + tests.join('\n'));
  await writeFile(join(folder, 'test', 'other.js'), `${head}test('exists', (t) => t.pass());`);
  const list = join(folder, 'may-not-run.json');
  if (mayNotRun) await writeFile(list, JSON.stringify(mayNotRun));
  const args = ['--project', folder, ...(mayNotRun ? ['--may-not-run', list] : [])];
  const { code, stdout } = await runNode(join(repoRoot, 'scripts', 'run-tests.js'), args);
  return { code, lines: stdout.trim().split('\n') };
}

test("a test that can't run is counted apart from those that passed, and named with its reason", async (t) => {
  const { code, lines } = await runTests(t, [PASSES, CANT_RUN]);
  t.is(code, 0);
  t.deepEqual(lines, [
    'Not run:',
    '  numbers › computes (on a GPU): there is no GPU',
    '2 passed, 0 failed, 1 not run',
  ]);
});

test('a test that fails is shown, and so is what ended a file', async (t) => {
  const failed = await runTests(t, [PASSES, FAILS]);
  t.is(failed.code, 1);
  t.true(failed.lines.some((line) => /^not ok \d+ - numbers › multiplies$/.test(line)));
  t.is(failed.lines.at(-1), '2 passed, 1 failed');
  const ended = await runTests(t, [PASSES, 'process.exit(3);']);
  t.is(ended.code, 1);
  t.regex(ended.lines.at(-1) as string, /^\d passed, [1-9] failed$/);
});

test('a reason of a test that fails all the same is no excuse', async (t) => {
  const both = `test('divides', (t) => { unavailable(t, 'there is no GPU'); t.fail(); });`;
  const { code, lines } = await runTests(t, [both]);
  t.is(code, 1);
  t.is(lines.at(-1), '1 passed, 1 failed');
});

test('with a list only the tests in it may be not run', async (t) => {
  const listed = await runTests(t, [PASSES, CANT_RUN], ['numbers › computes (on a *)']);
  t.is(listed.code, 0);
  t.is(listed.lines.at(-1), '2 passed, 0 failed, 1 not run');
  const unlisted = await runTests(t, [PASSES, CANT_RUN], ['numbers › adds']);
  t.is(unlisted.code, 1);
  t.regex(
    unlisted.lines[0],
    /^not ok - numbers › computes \(on a GPU\): not run \(there is no GPU\), and .* doesn't/,
  );
  t.is(unlisted.lines.at(-1), '2 passed, 1 failed');
});

test('a title in the list that no test has is a failure', async (t) => {
  const { code, lines } = await runTests(t, [PASSES], ['numbers › computes (on a *)']);
  t.is(code, 1);
  t.regex(lines[0], /^not ok - numbers › computes \(on a \*\): no test has this title/);
  t.is(lines.at(-1), '2 passed, 1 failed');
});
