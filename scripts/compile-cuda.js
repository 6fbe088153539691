#!/usr/bin/env node

// Compiles every .cu file with nvcc and says what each kernel needs of a GPU: registers, shared memory, and the
// occupancy that follows. Fails on a warning, on a spilled register and on a kernel without launch bounds. Needs no GPU.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { runScript, SetupError } from './bootstrap/console.js';
import { provideTorch } from './bootstrap/libtorch.js';
import { provideNvcc } from './bootstrap/nvcc.js';
import { root, runQuietly } from './bootstrap/tools.js';

const HELP = `Usage: node scripts/compile-cuda.js [options]

  --nvcc PATH               use this nvcc; default CUDACXX, else its wheels, installed into the cache folder
  --torch PATH|python[=EXE] use this libtorch, or the torch of a Python
  --json                    what the kernels need as JSON
`;

/** What a multiprocessor of an architecture has. Source: CUDA C++ Programming Guide, compute capabilities. */
const ARCHITECTURES = {
  sm_80: { registers: 65536, threads: 2048, blocks: 32, sharedBytes: 164 * 1024 },
  sm_90: { registers: 65536, threads: 2048, blocks: 32, sharedBytes: 228 * 1024 },
};
const WARP = 32;
/** Registers are given out to warps in portions, and each block takes some shared memory for the system. */
const REGISTER_PORTION = 256;
const SYSTEM_SHARED_BYTES = 1024;

const OUTPUT = join(root, 'build', 'cuda');

/** Relative to the root. */
function cudaSources() {
  return readdirSync(join(root, 'native'), { recursive: true })
    .filter((name) => name.endsWith('.cu'))
    .map((name) => join('native', name))
    .sort();
}

function compilerArguments(source, torch, keep) {
  const architectures = Object.keys(ARCHITECTURES).map((name) => name.replace('sm_', ''));
  const generate = architectures.flatMap((number) => [
    '-gencode',
    `arch=compute_${number},code=[sm_${number},compute_${number}]`,
  ]);
  return [
    ...['-std=c++20', '-O3', '-DNDEBUG', '--Werror', 'all-warnings', '-Xptxas', '-v'],
    ...['-Xcompiler', '-Wall,-Wextra,-Wno-unused-parameter', ...generate],
    ...['-isystem', join(torch, 'include'), '-isystem', join(torch, 'include/torch/csrc/api/include')],
    ...['-I', join(root, 'native'), '--keep', '--keep-dir', keep],
    ...['-c', join(root, source), '-o', join(keep, 'object.o')],
  ];
}

/** Compiles one source; returns its kernels. */
async function compile(nvcc, torch, source) {
  const keep = join(OUTPUT, basename(source, '.cu'));
  rmSync(keep, { recursive: true, force: true });
  mkdirSync(keep, { recursive: true });
  const log = await runQuietly(nvcc, compilerArguments(source, torch, keep));
  const threads = launchBounds(keep);
  const kernels = parseUsage(log).map((kernel) => ({
    source,
    ...kernel,
    threads: threads.get(kernel.symbol),
  }));
  rmSync(keep, { recursive: true, force: true });
  return kernels;
}

/** Threads per block that each kernel is compiled for, from the PTX nvcc kept. */
function launchBounds(folder) {
  const bounds = new Map();
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.ptx'))) {
    const text = readFileSync(join(folder, file), 'utf8');
    for (const [, symbol, number] of text.matchAll(/\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)/g)) {
      bounds.set(symbol, Number(number));
    }
  }
  return bounds;
}

/** Our kernels in the assembler's report. */
function parseUsage(log) {
  const pattern =
    /Compiling entry function '(\w+)' for '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)/gs;
  const kernels = [...log.matchAll(pattern)].map(
    ([, symbol, architecture, stores, loads, registers, rest]) => ({
      symbol,
      architecture,
      spilledBytes: Number(stores) + Number(loads),
      registers: Number(registers),
      sharedBytes: Number(/(\d+) bytes smem/.exec(rest)?.[1] ?? 0),
    }),
  );
  return kernels.filter(({ symbol }) => symbol.includes('albert_ner'));
}

/** Readable names by symbol: kernel and template arguments without their namespaces. */
function demangle(symbols) {
  const { status, stdout } = spawnSync('c++filt', { input: symbols.join('\n'), encoding: 'utf8' });
  if (status !== 0) return new Map(symbols.map((symbol) => [symbol, symbol]));
  const lines = stdout.split('\n').map((line) => line.replace(/\((?!anonymous).*$/s, ''));
  const short = (line) => line.replace(/(?:\w+|\(anonymous namespace\))::/g, '').replace(/^void /, '');
  return new Map(symbols.map((symbol, k) => [symbol, short(lines[k])]));
}

/** Warps a multiprocessor can hold at once, out of those it has room for; dynamic shared memory left aside. */
function occupancy({ architecture, threads, registers, sharedBytes }) {
  const has = ARCHITECTURES[architecture];
  const warps = Math.ceil(threads / WARP);
  const perWarp = Math.ceil((registers * WARP) / REGISTER_PORTION) * REGISTER_PORTION;
  const blocks = Math.min(
    has.blocks,
    Math.floor(has.threads / (warps * WARP)),
    Math.floor(has.registers / (perWarp * warps)),
    Math.floor(has.sharedBytes / (sharedBytes + SYSTEM_SHARED_BYTES)),
  );
  return (blocks * warps * WARP) / has.threads;
}

function printTable(kernels) {
  const rows = kernels.map((kernel) => [
    kernel.name,
    kernel.architecture,
    String(kernel.threads),
    String(kernel.registers),
    String(kernel.sharedBytes),
    `${Math.round(100 * kernel.occupancy)} %`,
  ]);
  const table = [['kernel', 'for', 'threads', 'registers', 'shared', 'occupancy'], ...rows];
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  for (const row of table) {
    const cells = row.map((cell, column) =>
      column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    console.log(cells.join('  ').trimEnd());
  }
}

/** What must not be: one line each. */
function problems(kernels) {
  return kernels.flatMap(({ name, architecture, spilledBytes, threads }) => [
    ...(spilledBytes > 0 ? [`${name} for ${architecture} spills ${spilledBytes} bytes of registers`] : []),
    ...(threads === undefined ? [`${name} has no launch bounds`] : []),
  ]);
}

async function main({ nvcc: named, torch: place, json }) {
  const nvcc = await provideNvcc({ nvcc: named });
  const torch = await provideTorch({ torch: place });
  const queue = cudaSources();
  const kernels = [];
  const worker = async () => {
    for (let source = queue.shift(); source; source = queue.shift()) {
      kernels.push(...(await compile(nvcc, torch.folder, source)));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const names = demangle(kernels.map(({ symbol }) => symbol));
  for (const kernel of kernels) {
    kernel.name = names.get(kernel.symbol);
    kernel.occupancy = kernel.threads ? occupancy(kernel) : null;
  }
  kernels.sort((a, b) => a.name.localeCompare(b.name) || a.architecture.localeCompare(b.architecture));
  const found = problems(kernels);
  if (found.length > 0) throw new SetupError(found.join('\n'), 'ERR_INTERNAL');
  if (json) console.log(JSON.stringify(kernels));
  else printTable(kernels);
}

const options = { nvcc: { type: 'string' }, torch: { type: 'string' }, json: { type: 'boolean' } };
await runScript(HELP, { options }, main);
