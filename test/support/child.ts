/** Runs one of the programs in test/process/children, or any other, as a process of its own. */

import { type SpawnOptions, spawn } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
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
}

/** A program with `args`; resolves when it has ended. */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ChildResult> {
  const { input, ...spawnOptions } = options;
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
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
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

/** Node running `script`, killed with SIGKILL before its `operation`-th operation that changes files, counted from 1. */
export function runKilledAt(
  operation: number,
  script: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<ChildResult> {
  const preload = pathToFileURL(childProgram('kill-at-file-operation')).href;
  return run(process.execPath, ['--import', preload, script, ...args], {
    ...options,
    env: { ...process.env, KILL_AT: String(operation) },
  });
}

/** How many operations that change files `script` does when nothing kills it. */
export async function countFileOperations(
  script: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<number> {
  const { code, stderr } = await runKilledAt(0, script, args, options);
  const [, count] = /^file operations: (\d+)$/m.exec(stderr) ?? [];
  if (code !== 0 || count === undefined) throw new Error(`${script} ended with ${code}: ${stderr}`);
  return Number(count);
}

/** A compiled program of test/process/children. */
export function childProgram(name: string): string {
  return join(repoRoot, 'dist', 'test', 'process', 'children', `${name}.js`);
}

/** The program of the command line. */
export const cliScript = join(repoRoot, 'scripts', 'albert-ner.js');

/** The command line, as from a checkout. */
export function runCli(args: readonly string[], options: RunOptions = {}): Promise<ChildResult> {
  return runNode(cliScript, args, options);
}
