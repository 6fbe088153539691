import { join } from 'node:path';
import test from 'ava';
import { runNode } from '../../support/child.js';
import { repoRoot } from '../../support/paths.js';

const program = join(repoRoot, 'dist', 'test', 'native', 'ops', 'children', 'print-digest.js');

async function digest(threads: number): Promise<string> {
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  const { code, stdout, stderr } = await runNode(program, [], { env });
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
}

test('outputs and gradients have the same bits for any number of threads', async (t) => {
  const alone = await digest(1);
  t.regex(alone, /^[0-9a-f]{64}$/);
  t.is(await digest(2), alone);
  t.is(await digest(3), alone);
});
