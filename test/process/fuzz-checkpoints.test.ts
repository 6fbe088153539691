import test from 'ava';
import { childProgram, runNode } from '../support/child.js';

const SECONDS = 20;

test('mutated checkpoints of every format are read or refused, soon and in little memory', async (t) => {
  t.timeout(180_000);
  const { code, stdout } = await runNode(childProgram('fuzz-checkpoints'), ['--seconds', String(SECONDS)]);
  t.is(code, 0, stdout);
  const { inputs, outcomes } = JSON.parse(stdout);
  t.true(inputs > 100, stdout);
  t.true(Object.keys(outcomes).length > 8, stdout);
});
