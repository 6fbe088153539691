import test, { type ExecutionContext } from 'ava';
import { run } from '../../support/child.js';
import {
  buildEmulated,
  compilerIsThere,
  sanitizerIsThere,
  THREAD_ORDERS,
} from '../../support/cuda-emulator.js';

const SOURCES = ['test/native/cuda/planted-faults.cpp'];

/** Runs a kernel of planted-faults.cpp: one line of results per order of threads, or the error. */
async function runCase(name: string, variant = 'plain', flags: string[] = []) {
  const program = await buildEmulated({ name: `planted-faults-${variant}`, sources: SOURCES, flags });
  const { code, stdout, stderr } = await run(program, [name]);
  return { code, orders: stdout.trim().split('\n'), stderr };
}

async function results(t: ExecutionContext, name: string): Promise<string[]> {
  const { code, orders, stderr } = await runCase(name);
  t.is(code, 0, stderr);
  t.is(orders.length, THREAD_ORDERS.length);
  return orders;
}

async function failure(name: string): Promise<string> {
  const { code, stderr } = await runCase(name);
  return code === 1 ? stderr : 'no error';
}

test('kernels without a fault give equal results in every order of threads', async (t) => {
  if (!compilerIsThere(t)) return;
  const sums = await results(t, 'block_sum');
  t.is(new Set(sums).size, 1);
  t.regex(sums[0], /^2296 0 0/); // sum of k mod 17 over 288 values
  const swapped = await results(t, 'warp_swap');
  t.is(new Set(swapped).size, 1);
  t.regex(swapped[0], /^1 0 3 2 5 4/);
});

test('shuffles, votes and atomics compute what those of CUDA do', async (t) => {
  if (!compilerIsThere(t)) return;
  const lines = await results(t, 'intrinsics');
  t.is(new Set(lines).size, 1);
  // Of lane 30: sum over the lanes, down past the end, up by 3, broadcast, ballot of odd lanes, all, any; then atomics.
  t.regex(lines[0], /^496 30 27 3 1 0 1 31 288 0/);
});

test('a missing barrier shows: orders of threads disagree', async (t) => {
  if (!compilerIsThere(t)) return;
  t.true(new Set(await results(t, 'missing_barrier')).size > 1);
  t.true(new Set(await results(t, 'missing_syncwarp')).size > 1);
});

test('a race between blocks shows: orders of blocks disagree', async (t) => {
  if (!compilerIsThere(t)) return;
  t.true(new Set(await results(t, 'blocks_collide')).size > 1);
});

test('divergent barriers are errors that name kernel, threads and lines', async (t) => {
  if (!compilerIsThere(t)) return;
  t.regex(
    await failure('half_at_barrier'),
    /kernel half_at_barrier, block 0,0,0: divergent barrier: thread 0 waits in __syncthreads at line \d+, but thread 48 has returned/,
  );
  t.regex(
    await failure('barriers_apart'),
    /line (\d+), but thread 48 waits in __syncthreads at line (?!\1)\d+/,
  );
  t.regex(
    await failure('lane_never_comes'),
    /waits in __shfl_xor_sync at line \d+, but thread 5 has returned/,
  );
});

test('lanes that a mask does not name are errors', async (t) => {
  if (!compilerIsThere(t)) return;
  t.regex(await failure('lane_not_named'), /__shfl_sync reads lane 20, which its mask doesn't name/);
  t.regex(await failure('caller_not_named'), /__any_sync by a lane that its own mask doesn't name/);
});

test('shared memory nobody wrote reads as NaN', async (t) => {
  if (!compilerIsThere(t)) return;
  for (const line of await results(t, 'uninitialised')) t.regex(line, /^(-?nan ?){96}/);
});

test('writes outside of shared memory are errors', async (t) => {
  if (!compilerIsThere(t)) return;
  t.regex(await failure('past_the_end'), /write outside of dynamic shared memory \(384 bytes\)/);
  t.regex(await failure('before_the_start'), /write outside of a shared array of 384 bytes/);
});

test('AddressSanitizer sees overruns of every buffer, and nothing wrong with fibers', async (t) => {
  if (!compilerIsThere(t) || !sanitizerIsThere(t)) return;
  const sanitized = (name: string) => runCase(name, 'asan', ['-fsanitize=address,undefined', '-g']);
  for (const name of ['past_the_end', 'before_the_start', 'global_overrun']) {
    const { code, stderr } = await sanitized(name);
    t.not(code, 0);
    t.regex(stderr, new RegExp(`AddressSanitizer: heap-buffer-overflow[^]*${name}`));
  }
  for (const name of ['block_sum', 'warp_swap', 'intrinsics']) {
    const { code, stderr } = await sanitized(name);
    t.is(code, 0);
    t.is(stderr, '');
  }
  t.regex((await sanitized('half_at_barrier')).stderr, /^CUDA emulator: kernel half_at_barrier/);
});

test('fibers work without assembly, too', async (t) => {
  if (!compilerIsThere(t)) return;
  for (const name of ['block_sum', 'intrinsics', 'missing_barrier']) {
    const plain = await runCase(name);
    const portable = await runCase(name, 'ucontext', ['-DCUDA_EMULATOR_UCONTEXT']);
    t.deepEqual(portable, plain);
  }
  t.regex(
    (await runCase('half_at_barrier', 'ucontext', ['-DCUDA_EMULATOR_UCONTEXT'])).stderr,
    /divergent barrier/,
  );
});
