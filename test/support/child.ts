/** Runs one of the programs in test/process/children, or any other, as a process of its own. */

import { type SpawnOptions, spawn } from 'node:child_process';
import { join } from 'node:path';
import { repoRoot } from './paths.js';

export interface ChildResult {
  /** Exit code, null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions extends SpawnOptions {
  input?: string;
  /** Kill with SIGKILL after this time; the result then has the signal. */
  killAfterMs?: number;
}

/** A program with `args`; resolves when it has ended. */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ChildResult> {
  const { input, killAfterMs, ...spawnOptions } = options;
  const child = spawn(program, args, { stdio: 'pipe', ...spawnOptions });
  const result: ChildResult = { code: null, signal: null, stdout: '', stderr: '' };
  child.stdout?.on('data', (data) => {
    result.stdout += data;
  });
  child.stderr?.on('data', (data) => {
    result.stderr += data;
  });
  child.stdin?.on('error', () => {}); // A child that ends early closes the pipe.
  child.stdin?.end(input ?? '');
  const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ ...result, code, signal });
    });
  });
}

/** Node running `script` with `args`. */
export function runNode(
  script: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ChildResult> {
  return run(process.execPath, [script, ...args], options);
}

/** A compiled program of test/process/children. */
export function childProgram(name: string): string {
  return join(repoRoot, 'dist', 'test', 'process', 'children', `${name}.js`);
}

/** The command line, as from a checkout. */
export function runCli(args: readonly string[], options: RunOptions = {}): Promise<ChildResult> {
  return runNode(join(repoRoot, 'scripts', 'albert-ner.js'), args, options);
}
