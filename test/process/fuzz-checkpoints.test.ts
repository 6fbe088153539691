import test from 'ava';
import { childProgram, runNode } from '../support/child.js';

test('mutated checkpoints of every format are read or refused, in little memory', async (t) => {
  const { code, stdout } = await runNode(childProgram('fuzz-checkpoints'), ['--inputs', '5000']);
  t.is(code, 0, stdout);
  const { inputs, outcomes } = JSON.parse(stdout);
  t.is(inputs, 5000);
  t.true(Object.keys(outcomes).length > 8, stdout);
});
