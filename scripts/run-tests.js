#!/usr/bin/env node
// Runs ava, shows failures as they come and ends with one line, "N passed, N failed". Arguments are test files or ava
// options; --coverage measures lib and albert.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);
const coverage = args.includes('--coverage');

/** The executable of a package, run by node. */
function executable(name, path) {
  return join(root, 'node_modules', name, path);
}

const ava = [
  executable('ava', 'entrypoints/cli.mjs'),
  '--tap',
  ...args.filter((arg) => arg !== '--coverage'),
];
const c8 = [
  executable('c8', 'bin/c8.js'),
  '--reporter=text',
  '--include=dist/lib/**',
  '--include=dist/albert/**',
];
const command = coverage ? [...c8, process.execPath, ...ava] : ava;

const child = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
const counts = { passed: 0, failed: 0, skipped: 0 };
let inFailure = false;
let inTable = false;

for await (const line of createInterface({ input: child.stdout })) {
  if (/^ok /.test(line)) {
    inFailure = false;
    counts[/# (SKIP|TODO)/.test(line) ? 'skipped' : 'passed'] += 1;
  } else if (/^not ok /.test(line)) {
    inFailure = true;
    counts.failed += 1;
  } else if (/^(1\.\.\d+|# (tests|pass|fail|skip) )/.test(line)) {
    inFailure = false;
  }
  inTable ||= coverage && /^-+\|/.test(line);
  if (inFailure || inTable) console.log(line);
}

const code = await new Promise((resolve) => {
  if (child.exitCode !== null) resolve(child.exitCode);
  child.on('close', resolve);
});
// A crash that no test line stands for is a failure, too.
if (code !== 0 && counts.failed === 0) counts.failed = 1;
if (counts.passed === 0 && counts.failed === 0) counts.failed = 1;
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
process.exitCode = counts.failed > 0 ? 1 : 0;
