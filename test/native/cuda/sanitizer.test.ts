import { join } from 'node:path';
import test from 'ava';
import { runNode } from '../../support/child.js';
import {
  buildEmulatedOps,
  compilerIsThere,
  sanitizerIsThere,
  sanitizerLibrary,
} from '../../support/cuda-emulator.js';
import { repoRoot } from '../../support/paths.js';

const program = join(repoRoot, 'dist', 'test', 'native', 'cuda', 'children', 'run-kernels.js');

test('no kernel reads or writes outside of a buffer, says AddressSanitizer', async (t) => {
  if (!compilerIsThere(t) || !sanitizerIsThere(t)) return;
  const library = await buildEmulatedOps('asan', ['-fsanitize=address', '-g1']);
  const env = {
    ...process.env,
    LD_PRELOAD: sanitizerLibrary() as string,
    // Node itself leaks on purpose, and libtorch allocates what another library frees.
    ASAN_OPTIONS: 'detect_leaks=0:alloc_dealloc_mismatch=0',
  };
  const { code, stdout, stderr } = await runNode(program, [library], { env });
  t.is(code, 0, stderr);
  t.is(stdout.trim(), 'done');
});
