#!/usr/bin/env node
// Checks the format of the C++ sources, or mends it with --write, with the pinned clang-format from pip.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './bootstrap/libtorch.js';
import { findPip, root } from './bootstrap/tools.js';

const VERSION = '21.1.8';

const folder = join(cacheFolder(), `clang-format-${VERSION}`);
// The program itself: the script that pip puts into bin/ looks for its package elsewhere.
const executable = join(folder, 'clang_format', 'data', 'bin', 'clang-format');
if (!existsSync(executable)) {
  const pip = [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--no-deps',
    '--target',
    folder,
    `clang-format==${VERSION}`,
  ];
  const { status } = spawnSync(findPip().command, pip, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) process.exit(1);
}
const files = readdirSync(join(root, 'native'), { recursive: true })
  .filter((name) => /\.(cpp|h|cu)$/.test(name))
  .map((name) => join(root, 'native', name));
const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '--Werror'];
process.exitCode = spawnSync(executable, [...mode, ...files], { stdio: 'inherit' }).status ?? 1;
