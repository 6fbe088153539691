import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { runNode } from '../../support/child.js';
import { buildTorchLibrary, compilerIsThere } from '../../support/cuda-emulator.js';
import { repoRoot } from '../../support/paths.js';
import { unavailable } from '../../support/unavailable.js';

const program = join(repoRoot, 'dist', 'test', 'native', 'ops', 'children', 'count-allocations.js');

/** Allocations of each of five steps; null where nothing can count them and the test can't run. */
async function allocations(t: ExecutionContext, threads: number, planted = 0): Promise<number[] | null> {
  if (process.platform !== 'linux') {
    unavailable(t, 'allocations are counted before the allocator of glibc');
    return null;
  }
  if (!compilerIsThere(t)) return null;
  const library = await buildTorchLibrary({
    name: 'count-allocations',
    sources: ['test/native/ops/count-allocations.cpp'],
    flags: [],
    // Loops of libtorch are templates on OpenMP; its runtime library is the one libtorch has.
    compileFlags: ['-fopenmp'],
  });
  const { code, stdout, stderr } = await runNode(program, [String(planted)], {
    env: { ...process.env, LD_PRELOAD: library, OMP_NUM_THREADS: String(threads) },
  });
  t.is(code, 0, stderr);
  const { counts, isRight } = JSON.parse(stdout) as { counts: number[]; isRight: boolean };
  t.true(isRight);
  return counts;
}

test('a training step allocates nothing once it has seen its largest batch', async (t) => {
  for (const threads of [1, 2]) {
    const counts = await allocations(t, threads);
    if (counts === null) return;
    // The first one makes the workspace, so the counter sees what happens inside.
    t.true(counts[0] > 10, String(counts));
    t.deepEqual(counts.slice(1), [0, 0, 0, 0]);
  }
});

test('an object, a tensor and an object of another thread are each counted when planted', async (t) => {
  for (const [planted, expected] of [
    [1, (count: number) => count === 1],
    [2, (count: number) => count > 1],
    [3, (count: number) => count === 1],
  ] as const) {
    const counts = await allocations(t, 2, planted);
    if (counts === null) return;
    t.true(counts.slice(1).every(expected), `${planted}: ${counts}`);
  }
});
