// The steps of the set-up, each skipped when its inputs have not changed: npm packages, libtorch, addon, TypeScript.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { SetupError, say, setQuiet } from './console.js';
import { cacheFolder, findTorch, provideTorch } from './libtorch.js';
import { withLock } from './lock.js';
import { requireTools, root, runQuietly } from './tools.js';

export const ADDON = join(root, 'build', 'Release', 'albert_ner.node');

/** A checkout has sources to compile and a lock file to install from; an installed package has neither. */
const isCheckout = existsSync(join(root, 'package-lock.json')) && existsSync(join(root, 'lib'));

/**
 * Sets everything up. Options: `only` ('native' or 'typescript'), `torch`, `indexUrl`, `from`, `force`, `quiet`,
 * `dryRun`. Returns where libtorch and the addon are.
 */
export async function setUp({ only, quiet = false, force = false, dryRun = false, ...options } = {}) {
  setQuiet(quiet);
  const native = only !== 'typescript';
  const typescript = isCheckout && only !== 'native';
  requireTools({ native, python: native && findTorch(options) === null });
  if (dryRun) return plan({ native, typescript, options });
  return withLock(checkoutLock(), async () => {
    if (isCheckout) await installPackages();
    const torch = native ? await provideTorch(options) : null;
    if (native) await buildAddon(torch, force);
    if (typescript) await compileTypeScript(force);
    if (native) record(torch);
    return { torch, addon: ADDON };
  });
}

/** One set-up at a time per package folder; in the cache, since `npm ci` empties node_modules. */
function checkoutLock() {
  const name = createHash('sha256').update(root).digest('hex').slice(0, 16);
  return join(cacheFolder(), 'locks', name);
}

function plan({ native, typescript, options }) {
  const torch = native ? findTorch(options) : null;
  return {
    torch: torch ?? { folder: `would be installed into ${cacheFolder()}`, version: '' },
    addon: ADDON,
    typescript,
  };
}

/** Where things are, for people and other tools, and beside the addon for its loader, which may run as another user. */
function record(torch) {
  writeFileSync(join(dirname(ADDON), 'libtorch.json'), `${JSON.stringify(torch, null, 2)}\n`);
  mkdirSync(cacheFolder(), { recursive: true });
  writeFileSync(join(cacheFolder(), 'setup.json'), `${JSON.stringify({ torch, addon: ADDON }, null, 2)}\n`);
}

/** Runs `make` unless `stamp` holds the hash of the inputs already. */
async function whenChanged({ stamp, inputs, force, outputs }, make) {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(JSON.stringify(input));
  const digest = hash.digest('hex');
  const current = existsSync(stamp) ? readFileSync(stamp, 'utf8') : '';
  if (!force && current === digest && outputs.every((path) => existsSync(path))) return;
  rmSync(stamp, { force: true });
  await make();
  writeFileSync(stamp, digest);
}

/** Path and content hash of every file below these places. */
function fileHashes(places) {
  const files = [];
  for (const place of places) {
    const path = join(root, place);
    if (!existsSync(path)) continue;
    if (statSync(path).isFile()) files.push(path);
    else {
      for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
        if (entry.isFile()) files.push(join(entry.parentPath ?? entry.path, entry.name));
      }
    }
  }
  const contentHash = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');
  return files.sort().map((file) => [file.slice(root.length), contentHash(file)]);
}

async function installPackages() {
  const stamp = join(root, 'node_modules', '.albert-ner-lock-hash');
  const inputs = fileHashes(['package-lock.json']);
  await whenChanged({ stamp, inputs, outputs: [join(root, 'node_modules', 'cmake-js')] }, async () => {
    say('Installing npm packages');
    const npm = process.env.npm_execpath;
    const args = ['ci', '--no-audit', '--no-fund'];
    if (npm?.endsWith('.js')) await runQuietly(process.execPath, [npm, ...args]);
    else await runQuietly(process.platform === 'win32' ? 'npm.cmd' : 'npm', args);
  });
}

async function buildAddon(torch, force) {
  const build = join(root, 'build');
  mkdirSync(build, { recursive: true });
  const cuda = process.env.ALBERT_NER_CUDA ?? 'AUTO';
  const pyOps = process.env.ALBERT_NER_PY_OPS ?? 'OFF';
  const inputs = [
    ...fileHashes(['native', 'cmake', 'CMakeLists.txt']),
    [torch.folder, torch.version, process.versions.modules, process.arch],
    [cuda, process.env.CUDACXX ?? '', pyOps],
  ];
  await whenChanged({ stamp: join(build, '.albert-ner-hash'), inputs, force, outputs: [ADDON] }, async () => {
    const startedMs = Date.now();
    say('Building the addon (two minutes or so the first time)');
    await runCmake(torch, [`--CDALBERT_NER_CUDA=${cuda}`, `--CDALBERT_NER_PY_OPS=${pyOps}`]);
    await testAddon();
    say(`Built in ${Math.round((Date.now() - startedMs) / 1000)} s`);
  });
}

/** Configures and builds with these options of cmake-js. */
export async function runCmake(torch, options) {
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const parallel = ['--parallel', String(availableParallelism())];
  // Configuring anew each time: a build folder keeps the libtorch it was configured with.
  for (const command of ['configure', 'build']) {
    const torchOption = `--CDALBERT_NER_LIBTORCH=${torch.folder}`;
    await runQuietly(process.execPath, [cmakeJs, command, torchOption, ...options, ...parallel]);
  }
}

/** Loads the addon in a process of its own, as a user's program would. */
async function testAddon() {
  const script = `const { buildInfo } = require(${JSON.stringify(ADDON)}); console.log(buildInfo().torchLoaded)`;
  try {
    await runQuietly(process.execPath, ['-e', script]);
  } catch (error) {
    throw new SetupError(`The addon was built but can't be loaded:\n${error.message}`);
  }
}

async function compileTypeScript(force) {
  const dist = join(root, 'dist');
  const inputs = fileHashes(['lib', 'albert', 'test', 'tsconfig.json', 'package-lock.json']);
  const outputs = [join(dist, 'lib', 'index.js')];
  mkdirSync(dist, { recursive: true });
  await whenChanged({ stamp: join(dist, '.albert-ner-hash'), inputs, force, outputs }, async () => {
    say('Compiling TypeScript');
    rmSync(dist, { recursive: true, force: true });
    const tsc = createRequire(import.meta.url)
      .resolve('typescript/package.json')
      .replace('package.json', 'bin/tsc');
    await runQuietly(process.execPath, [tsc, '-p', 'tsconfig.json']);
  });
}
