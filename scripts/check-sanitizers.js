#!/usr/bin/env node

// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer and runs the tests of native code that way. The build
// has a folder of its own, build/sanitized. Needs g++ on Linux.

import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { runScript, SetupError, say } from './bootstrap/console.js';
import { provideTorch } from './bootstrap/libtorch.js';
import { runCmake, setUp } from './bootstrap/setup.js';
import { root } from './bootstrap/tools.js';

const HELP = `Usage: node scripts/check-sanitizers.js [options] [TEST...]

Compiled tests, as for run-tests.js; by default those in test/native and of lifetimes.

  --torch PATH|python[=EXE] use this libtorch, or the torch of a Python
`;

const OUTPUT = join(root, 'build', 'sanitized');
const FOLDERS = [join('native', 'ops'), 'native'];
const MORE_TESTS = [join('process', 'lifetime.test.js')];
/** One puts an allocator of its own before every other; the other runs Python, which isn't built for sanitizers. */
const LEFT_OUT = ['allocations.test.js', 'python.test.js'];

/** AddressSanitizer must be in the process before everything it watches. */
function sanitizerLibrary() {
  const compiler = process.env.CXX ?? 'g++';
  const { stdout } = spawnSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  if (isAbsolute(stdout?.trim() ?? '')) return stdout.trim();
  throw new SetupError(`${compiler} has no AddressSanitizer: install g++ and its libasan`);
}

function nativeTests() {
  const found = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, 'dist', 'test', folder))
      .filter((name) => name.endsWith('.test.js') && !LEFT_OUT.includes(name))
      .map((name) => join(folder, name)),
  );
  return [...found, ...MORE_TESTS].map((name) => join('dist', 'test', name));
}

async function main({ torch: place }, tests) {
  const library = sanitizerLibrary();
  await setUp({ only: 'typescript' });
  const torch = await provideTorch({ torch: place });
  say('Building the addon with sanitizers');
  await runCmake(torch, [
    '--out',
    OUTPUT,
    '--CDALBERT_NER_CUDA=OFF',
    '--CDALBERT_NER_SANITIZE=address,undefined',
  ]);
  const env = {
    ...process.env,
    ALBERT_NER_ADDON: join(OUTPUT, 'Release', 'albert_ner.node'),
    LD_PRELOAD: library,
    // Node itself leaks on purpose, libtorch allocates what another library frees, and a test asks for more memory than
    // there is.
    ASAN_OPTIONS: 'detect_leaks=0:alloc_dealloc_mismatch=0:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  const files = tests.length > 0 ? tests : nativeTests();
  const child = spawn(process.execPath, [join(root, 'scripts', 'run-tests.js'), ...files], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  process.exitCode = await new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)));
}

await runScript(HELP, { options: { torch: { type: 'string' } }, allowPositionals: true }, main);
