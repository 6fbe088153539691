/**
 * Compiles programs and libraries of the tests: most run CUDA kernels on the CPU, under test/native/cuda/emulator.h.
 * What was built stays in build/cuda-emulator until one of its sources changes.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ExecutionContext } from 'ava';
import { run } from './child.js';
import { repoRoot } from './paths.js';
import { unavailable } from './unavailable.js';

/** The folder of the emulator's own sources. */
export const emulatorFolder = join(repoRoot, 'test', 'native', 'cuda');

/** The orders of threads and blocks the emulator knows, by number. */
export const THREAD_ORDERS = ['ascending', 'descending', 'shuffled', 'shuffled again'] as const;

const outputFolder = join(repoRoot, 'build', 'cuda-emulator');
const WARNINGS = ['-Wall', '-Wextra', '-Wno-unused-parameter', '-Werror'];

/** The C++ compiler these tests use, or null. */
function findCompiler(): string | null {
  const candidates = process.env.CXX ? [process.env.CXX] : ['g++', 'c++', 'clang++'];
  return candidates.find((command) => spawnSync(command, ['--version']).status === 0) ?? null;
}

/** True when there is a compiler; else the test is one that can't run here. */
export function compilerIsThere(t: ExecutionContext): boolean {
  if (findCompiler() !== null) return true;
  unavailable(t, 'there is no C++ compiler to compile the kernels with');
  return false;
}

export interface EmulatorBuild {
  /** Name of the program or library. */
  name: string;
  /** Paths of the sources from the repository's root. */
  sources: readonly string[];
  flags: readonly string[];
  /** What only the compiler gets. */
  compileFlags?: readonly string[];
  /** What the linker needs besides. */
  linkFlags?: readonly string[];
}

const building = new Map<string, Promise<string>>();

/** Builds something unless it is there already; returns its path. */
export function buildEmulated(build: EmulatorBuild): Promise<string> {
  const { name, sources, flags, compileFlags = [], linkFlags = [] } = build;
  const compiler = findCompiler() as string;
  const include = ['-I', join(repoRoot, 'native'), '-I', emulatorFolder];
  const all = ['-std=c++20', '-O1', ...WARNINGS, ...include, ...flags, ...compileFlags];
  const hash = inputsHash([compiler, ...all, ...sources, ...linkFlags], sources);
  const output = join(outputFolder, `${name}-${hash}`);
  const make = async () => {
    if (existsSync(output)) return output;
    for (const older of readdirSync(outputFolder)) {
      if (older.startsWith(`${name}-`)) rmSync(join(outputFolder, older));
    }
    const objects = sources.map((_, index) => `${output}.${index}.o`);
    await Promise.all(
      sources.map((source, index) =>
        compile(compiler, [...all, '-c', '-x', 'c++', join(repoRoot, source), '-o', objects[index]]),
      ),
    );
    // Renamed into place, so that an interrupted build is made again.
    await compile(compiler, [...flags, ...objects, ...linkFlags, '-o', `${output}.part`]);
    for (const object of objects) rmSync(object);
    renameSync(`${output}.part`, output);
    return output;
  };
  // Tests of one file run side by side and share a build; files run side by side and share the folder.
  const started = building.get(output) ?? underLock(join(outputFolder, `${name}.lock`), make);
  building.set(output, started);
  return started;
}

/** What `make` gives while no other process builds the same. */
async function underLock<T>(path: string, make: () => Promise<T>): Promise<T> {
  const { withLock } = await import(pathToFileURL(join(repoRoot, 'scripts', 'bootstrap', 'lock.js')).href);
  return withLock(path, make);
}

async function compile(compiler: string, args: string[]): Promise<void> {
  const { code, stderr } = await run(compiler, args);
  if (code !== 0) throw new Error(`${compiler} ${args.join(' ')} failed:\n${stderr}`);
}

/** Hash of the command and of every file it may read. */
function inputsHash(command: readonly string[], sources: readonly string[]): string {
  const hash = createHash('sha256').update(JSON.stringify(command));
  const folders = new Set([
    'native/torch',
    'native/core',
    'native/common',
    'test/native/cuda',
    ...sources.map(dirname),
  ]);
  for (const folder of folders) {
    const files = readdirSync(join(repoRoot, folder), { recursive: true }).map(String).sort();
    for (const file of files.filter((path) => /\.(h|cpp|cu)$/.test(path))) {
      hash.update(file).update(readFileSync(join(repoRoot, folder, file)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Folder of the libtorch the addon was built with. */
export function libtorchFolder(): string {
  const cache = readFileSync(join(repoRoot, 'build', 'CMakeCache.txt'), 'utf8');
  return /^ALBERT_NER_LIBTORCH:PATH=(.+)$/m.exec(cache)?.[1] as string;
}

/** Builds a library that uses libtorch. */
export function buildTorchLibrary(build: EmulatorBuild): Promise<string> {
  const torch = libtorchFolder();
  const headers = ['include', 'include/torch/csrc/api/include'].flatMap((path) => [
    '-isystem',
    join(torch, path),
  ]);
  return buildEmulated({
    ...build,
    flags: ['-fPIC', '-shared', ...headers, ...build.flags],
    linkFlags: [`-L${join(torch, 'lib')}`, '-ltorch_cpu', '-lc10', `-Wl,-rpath,${join(torch, 'lib')}`],
  });
}

/**
 * The library with all .cu files of native/torch/ops: operators `albert_ner_emulated::_…` on tensors of the CPU, for a process
 * that has loaded the addon.
 */
export function buildEmulatedOps(variant: string, flags: readonly string[] = []): Promise<string> {
  const kernels = readdirSync(join(repoRoot, 'native', 'torch', 'ops'), { recursive: true })
    .map((path) => join('native', 'torch', 'ops', String(path)))
    .filter((path) => path.endsWith('.cu'));
  return buildTorchLibrary({
    name: `emulated-ops-${variant}`,
    sources: [...kernels, 'test/native/cuda/emulated-ops.cpp', 'test/native/cuda/stand-in.cpp'],
    flags: ['-include', join(emulatorFolder, 'emulator.h'), ...flags],
  });
}

/** Loads a library of `buildEmulatedOps`. */
export function loadEmulated(library: string): void {
  process.dlopen({ exports: {} } as NodeJS.Module, library, constants.dlopen.RTLD_NOW);
}

/** AddressSanitizer's library, for a process whose program wasn't built with it; null if the compiler has none. */
export function sanitizerLibrary(): string | null {
  const { stdout } = spawnSync(findCompiler() as string, ['-print-file-name=libasan.so'], {
    encoding: 'utf8',
  });
  return isAbsolute(stdout.trim()) ? stdout.trim() : null;
}

/** True when the compiler has AddressSanitizer; else the test is one that can't run here. */
export function sanitizerIsThere(t: ExecutionContext): boolean {
  if (sanitizerLibrary() !== null) return true;
  unavailable(t, 'the compiler has no AddressSanitizer');
  return false;
}
