import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import test from 'ava';
import { ERROR_CODES } from '../../lib/errors.js';
import { repoRoot } from '../support/paths.js';

function filesBelow(folder: string, pattern: RegExp): string[] {
  return readdirSync(join(repoRoot, folder), { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((name) => pattern.test(name) && statSync(join(repoRoot, name)).isFile());
}

const read = (name: string) => readFileSync(join(repoRoot, name), 'utf8');
const sources = filesBelow('native', /\.(cpp|h|cu)$/);
const modules = [...filesBelow('lib', /\.ts$/), ...filesBelow('albert', /\.ts$/)];

/** Files a module imports at run time, as paths from the root; type-only imports don't count. */
function importsOf(module: string): string[] {
  const text = read(module);
  const found = [
    ...text.matchAll(/^import (?!type)[^;]*? from '(\.[^']+)';/gms),
    ...text.matchAll(/^export (?!type)[^;]*? from '(\.[^']+)';/gms),
    ...text.matchAll(/import\('(\.[^']+)'\)/g),
  ];
  return found.map(([, path]) =>
    relative(repoRoot, join(repoRoot, dirname(module), path.replace(/\.js$/, '.ts'))),
  );
}

function matching(names: string[], pattern: RegExp): string[] {
  return names.filter((name) => pattern.test(read(name)));
}

test('only native/binding knows Node', (t) => {
  const users = matching(sources, /#include [<"]n(api|ode_api)\.h|Napi::/);
  t.true(users.length > 3);
  t.deepEqual(
    users.filter((name) => !name.startsWith(join('native', 'binding'))),
    [],
  );
});

test('the layers of the native core include downwards only', (t) => {
  const ranks = [
    'common',
    'core',
    'runtime',
    'engine',
    'torch/support',
    'torch/ops',
    'torch/encoder',
    'torch/features',
    'torch/model',
    'torch/training',
    'binding',
  ];
  const siblings = new Map([['torch/features', 'torch/encoder']]);
  const layerOf = (path: string) => ranks.find((layer) => path.startsWith(`${layer}/`)) ?? path;
  for (const name of sources) {
    const layer = layerOf(name.slice('native/'.length));
    t.true(ranks.includes(layer), `${name} is in no layer`);
    for (const [, path] of read(name).matchAll(/#include "([^"]+)"/g)) {
      const included = layerOf(path);
      t.true(ranks.indexOf(included) <= ranks.indexOf(layer), `${name} includes ${path}`);
      t.true(ranks.includes(included), `${name} includes ${path}`);
      t.not(siblings.get(layer), included, `${name} includes ${path}`);
    }
  }
});

test('only native/torch and the binding know libtorch', (t) => {
  const users = matching(sources, /#include <(ATen|c10|torch)\//);
  t.true(users.length > 30);
  t.deepEqual(
    users.filter((name) => !/^native\/(torch|binding)\//.test(name)),
    [],
  );
});

test('operators use no torch modules, and no file uses the slow or the unsafe parts of libtorch', (t) => {
  t.deepEqual(
    matching(
      sources.filter((name) => name.startsWith('native/torch/ops/')),
      /torch\/nn|torch::nn/,
    ),
    [],
  );
  t.deepEqual(matching(sources, /#include <torch\/(torch|all)\.h>|pickle_load|jit::load|torch::load/), []);
});

test('CUDA is known to launch.h only, kernels have launch bounds, and the build has every .cu file', (t) => {
  const cudaOnly = /#include <(cuda|c10\/cuda)|<<<|extern __shared__|__shared__/;
  t.deepEqual(matching(sources, cudaOnly), [join('native', 'torch', 'support', 'launch.h')]);
  const build = read('CMakeLists.txt');
  for (const name of sources.filter((source) => source.endsWith('.cu'))) t.true(build.includes(name), name);
  const kernels = sources.flatMap((name) => [...read(name).matchAll(/__global__ void\s+(\w+)/g)]);
  t.true(kernels.length > 5);
  for (const [, next] of kernels) t.is(next, '__launch_bounds__');
});

test('only lib/native, lib/model, lib/training and lib/pretraining load the addon', (t) => {
  const users = modules.filter((name) => importsOf(name).includes(join('lib', 'native', 'load.ts')));
  t.true(users.length > 0);
  t.deepEqual(
    users.filter((name) => !/^lib\/(native|model|training|pretraining)\//.test(name)),
    [],
  );
});

test('text, labels, data, config and albert are pure', (t) => {
  const pure = /^(lib\/(text|labels|data|config)\/|albert\/|lib\/(errors|validate|files|random)\.ts$)/;
  for (const name of modules.filter((module) => pure.test(module))) {
    for (const imported of importsOf(name)) t.true(pure.test(imported), `${name} imports ${imported}`);
  }
});

test('nothing below the command line imports it', (t) => {
  for (const name of modules.filter((module) => !module.startsWith('lib/cli/'))) {
    t.deepEqual(
      importsOf(name).filter((imported) => imported.startsWith('lib/cli/')),
      [],
      name,
    );
  }
});

test('modules import each other without cycles', (t) => {
  const state = new Map<string, 'open' | 'done'>();
  const visit = (name: string, path: string[]): void => {
    if (state.get(name) === 'done' || !modules.includes(name)) return;
    if (state.get(name) === 'open') {
      t.fail([...path, name].join(' -> '));
      return;
    }
    state.set(name, 'open');
    for (const imported of importsOf(name)) visit(imported, [...path, name]);
    state.set(name, 'done');
  };
  for (const name of modules) visit(name, []);
  t.is(state.size, modules.length);
});

test('the error codes of TypeScript, C++, the command line and the documentation agree', (t) => {
  const names = [...read('native/common/error.cpp').matchAll(/return "(ERR_[A-Z_]+)";/g)].map(
    ([, name]) => name,
  );
  t.deepEqual([...new Set(names)], [...ERROR_CODES]);
  const documented = [...read('docs/errors.md').matchAll(/^\| `(ERR_[A-Z_]+)` +\|.*\| (\d+) +\|$/gm)];
  t.deepEqual(
    documented.map(([, name]) => name),
    [...ERROR_CODES],
  );
  const exitCodes = read('lib/cli/run.ts');
  for (const [, name, code] of documented) t.regex(exitCodes, new RegExp(`${name}: ${code},`), name);
});

test('no test is skipped, alone or unfinished, and no file names a place of one machine', (t) => {
  const tracked = existsSync(join(repoRoot, '.git'))
    ? execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: repoRoot, encoding: 'utf8' })
        .trim()
        .split('\n')
    : [...sources, ...modules];
  const texts = tracked.filter(
    (name) =>
      /\.(ts|js|md|json|yml|h|cpp|cu|cmake|txt|py|gyp)$/.test(name) && existsSync(join(repoRoot, name)),
  );
  t.true(texts.length > 50);
  const testMarks = new RegExp(`test\\.(${['skip', 'only', 'todo', 'failing'].join('|')})\\b`);
  t.deepEqual(
    matching(
      texts.filter((name) => name.startsWith('test/')),
      testMarks,
    ),
    [],
  );
  const places = new RegExp(
    ['/wo' + 'rk/', '/ro' + 'ot/', '/ho' + 'me/[a-z]', 'registry\\.npm' + 'js', 'py' + 'pi\\.org'].join('|'),
  );
  t.deepEqual(matching(texts, places), []);
});
