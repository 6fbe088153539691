import test from 'ava';
import { childProgram, runNode } from '../support/child.js';

test('runs that are stopped and resumed beside other sessions end with the bits of one that was not', async (t) => {
  const { code, stdout, stderr } = await runNode(childProgram('stress-resume'), [
    '--runs',
    '3',
    '--burn',
    '1',
  ]);
  t.is(code, 0, `${stdout}${stderr}`);
  const { runs, different, sessions } = JSON.parse(stdout);
  t.deepEqual({ runs, different }, { runs: 3, different: 0 });
  t.true(sessions > 0);
});
