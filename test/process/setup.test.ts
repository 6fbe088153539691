import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { runNode } from '../support/child.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';

const BOOTSTRAP = join(repoRoot, 'scripts', 'bootstrap.js');

/** A PATH with only the named tools: links to the real ones, or scripts given as text. */
async function pathWith(t: ExecutionContext, tools: Record<string, string>): Promise<string> {
  const folder = await temporaryFolder(t);
  for (const [name, tool] of Object.entries(tools)) {
    const file = join(folder, name);
    if (tool.startsWith('/')) {
      await symlink(tool, file);
    } else {
      await writeFile(file, `#!/bin/sh\n${tool}\n`);
      await chmod(file, 0o755);
    }
  }
  return folder;
}

/** The bootstrap with a PATH and cache of its own; it must not get as far as changing anything here. */
async function bootstrap(
  t: ExecutionContext,
  path: string,
  args: string[] = [],
  env: NodeJS.ProcessEnv = {},
) {
  const cache = await temporaryFolder(t);
  const { LIBTORCH, LIBTORCH_USE_PYTORCH, ALBERT_NER_LIBTORCH, CXX, ...rest } = process.env;
  return runNode(BOOTSTRAP, args, { env: { ...rest, PATH: path, ALBERT_NER_CACHE: cache, ...env } });
}

test('all missing tools are named at once, each with its remedy', async (t) => {
  const { code, stderr } = await bootstrap(t, await pathWith(t, {}));
  t.is(code, 4);
  for (const tool of ['C\\+\\+20 compiler', 'CMake 3\\.20', 'Python 3 with pip'])
    t.regex(stderr, new RegExp(`- .*${tool}.*: .+`));
  t.regex(stderr, /^error ERR_NATIVE_NOT_FOUND: /);
});

test('tools that are too old are named with their version', async (t) => {
  const path = await pathWith(t, {
    'c++': 'case "$*" in *--version*) echo "c++ 7.5.0";; *) exit 1;; esac',
    cmake: 'echo "cmake version 3.10.2"',
    python3: 'echo "pip 23.0 from somewhere"',
  });
  const { code, stderr } = await bootstrap(t, path);
  t.is(code, 4);
  t.regex(stderr, /knows C\+\+20 \(c\+\+ 7\.5\.0 doesn't\)/);
  t.regex(stderr, /this is 3\.10\.2/);
  t.notRegex(stderr, /Python 3 with pip/);
});

test('a libtorch that was named and cannot be used is an error that says why', async (t) => {
  const folder = await temporaryFolder(t);
  const path = process.env.PATH as string;
  for (const [args, env] of [
    [['--torch', folder], {}],
    [[], { LIBTORCH: folder }],
    [[], { ALBERT_NER_LIBTORCH: folder }],
  ] as [string[], NodeJS.ProcessEnv][]) {
    const { code, stderr } = await bootstrap(t, path, [...args, '--dry-run'], env);
    t.is(code, 4);
    t.regex(stderr, /ATen\.h is missing/);
  }
  await mkdir(join(folder, 'include/torch/headeronly'), { recursive: true });
  await mkdir(join(folder, 'include/ATen'), { recursive: true });
  await mkdir(join(folder, 'lib'));
  await writeFile(join(folder, 'include/ATen/ATen.h'), '');
  const library = process.platform === 'darwin' ? 'libtorch_cpu.dylib' : 'libtorch_cpu.so';
  await writeFile(join(folder, 'lib', library), '');
  await writeFile(
    join(folder, 'include/torch/headeronly/version.h'),
    '#define TORCH_VERSION \\\n  "2.3.1"\n',
  );
  const { stderr } = await bootstrap(t, path, ['--torch', folder, '--dry-run']);
  t.regex(stderr, /version 2\.3\.1, but 2\.15/);
});

test('a dry run changes nothing and says what would be used', async (t) => {
  const cache = await temporaryFolder(t);
  const { code, stdout } = await bootstrap(t, process.env.PATH as string, ['--dry-run'], {
    ALBERT_NER_CACHE: cache,
  });
  t.is(code, 0);
  t.regex(JSON.parse(stdout).torch.folder, new RegExp(basename(cache)));
  t.false(existsSync(join(cache, 'locks')));
});

test('unknown options are usage errors', async (t) => {
  const path = process.env.PATH as string;
  t.is((await bootstrap(t, path, ['--bogus'])).code, 2);
  t.is((await bootstrap(t, path, ['--only', 'half'])).code, 2);
});

test('a second set-up has nothing to do and nothing to say', async (t) => {
  const { code, stderr } = await runNode(BOOTSTRAP, []);
  t.is(code, 0, stderr);
  t.is(stderr, '');
});

/** Runs one function of the set-up's modules in a process of its own. */
function script(body: string, env: NodeJS.ProcessEnv = {}) {
  return runNode('--input-type=module', ['-e', body], { cwd: repoRoot, env: { ...process.env, ...env } });
}

test('an interrupted or damaged installation is removed and made again', async (t) => {
  const cache = await temporaryFolder(t);
  const folder = join(cache, 'libtorch-2.15.0');
  await mkdir(join(folder, 'torch', 'lib'), { recursive: true });
  const found = await script(
    `
    import { findTorch } from './scripts/bootstrap/libtorch.js';
    console.log(JSON.stringify(findTorch({})));`,
    { ALBERT_NER_CACHE: cache, LIBTORCH: '', ALBERT_NER_LIBTORCH: '' },
  );
  t.is(found.stdout.trim(), 'null', 'without its stamp a folder is no installation');
  await writeFile(join(folder, 'complete.json'), '{}');
  const damaged = await script(
    `
    import { findTorch } from './scripts/bootstrap/libtorch.js';
    console.log(JSON.stringify(findTorch({})));`,
    { ALBERT_NER_CACHE: cache, LIBTORCH: '', ALBERT_NER_LIBTORCH: '' },
  );
  t.is(damaged.stdout.trim(), 'null');
  t.regex(damaged.stderr, /is damaged/);
});

test('doctor has a line for everything and passes here', async (t) => {
  const { code, stdout } = await runNode(join(repoRoot, 'scripts', 'doctor.js'), ['--json']);
  t.is(code, 0, stdout);
  const checks = JSON.parse(stdout) as { name: string; ok: boolean | null }[];
  for (const name of [
    'Node',
    'system',
    'processor',
    'memory',
    'compiler',
    'CMake',
    'libtorch',
    'addon',
    'CUDA',
  ]) {
    t.true(
      checks.some((check) => check.name === name),
      name,
    );
  }
});

test('doctor fails with the remedy when the addon is missing', async (t) => {
  const env = { ...process.env, ALBERT_NER_ADDON: join(await temporaryFolder(t), 'none.node') };
  const { code, stdout } = await runNode(join(repoRoot, 'scripts', 'doctor.js'), [], { env });
  t.is(code, 1);
  t.regex(stdout, /fail.*addon.*not built.*npx albert-ner setup/);
});

test('binding.gyp runs the bootstrap, and npm runs nothing on install', async (t) => {
  t.regex(
    await readFile(join(repoRoot, 'binding.gyp'), 'utf8'),
    /"scripts\/bootstrap\.js", "--only", "native"/,
  );
  const { scripts, gypfile } = JSON.parse(await readFile(join(repoRoot, 'package.json'), 'utf8'));
  t.is(gypfile, false);
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare'])
    t.is(scripts[name], undefined, name);
});
