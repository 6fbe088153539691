import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { runNode } from '../../support/child.js';
import { largestDifference } from '../../support/native.js';
import { repoRoot } from '../../support/paths.js';
import { unavailable } from '../../support/unavailable.js';

const program = join(repoRoot, 'dist', 'test', 'native', 'ops', 'children', 'print-values.js');

/** The tensors the operators give with the kernels of one instruction set; null where the processor lacks it. */
async function tensorsWith(isa: string): Promise<number[][] | null> {
  const { code, stdout, stderr } = await runNode(program, [], {
    env: { ...process.env, ALBERT_NER_ISA: isa },
  });
  if (code === 0) return JSON.parse(stdout) as number[][];
  if (/Expected one of .* for ALBERT_NER_ISA/.test(stderr)) return null;
  throw new Error(stderr);
}

/** Relative to the largest value, but at least to 1: the sums in a tensor have terms of one size. */
function relativeDifference(actual: number[], expected: number[]): number {
  const scale = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
  return largestDifference(actual, expected) / scale;
}

const baseline = (await tensorsWith('baseline')) as number[][];
const isLinuxOnX86 = process.arch === 'x64' && process.platform === 'linux';
const flags = isLinuxOnX86 ? readFileSync('/proc/cpuinfo', 'utf8') : '';

for (const [isa, flag] of [
  ['avx2', 'avx2'],
  ['avx512', 'avx512vl'],
]) {
  test(`${isa} gives the results of the baseline, to 1e-5`, async (t) => {
    t.true(baseline.flat().length > 10_000);
    const tensors = await tensorsWith(isa);
    if (tensors === null) {
      t.false(flags.includes(` ${flag} `), isa);
      return unavailable(t, `this processor has no ${isa}`);
    }
    t.is(tensors.length, baseline.length);
    const worst = Math.max(...tensors.map((values, k) => relativeDifference(values, baseline[k])));
    t.true(worst < 1e-5, `${isa}: ${worst}`);
  });
}

test('buildInfo names the instruction set in use', async (t) => {
  const load = pathToFileURL(join(repoRoot, 'dist', 'lib', 'native', 'load.js')).href;
  const code = `const { loadNative } = await import('${load}'); console.log(loadNative().buildInfo().instructionSet);`;
  const { stdout, stderr } = await runNode('--input-type=module', ['-e', code], {
    env: { ...process.env, ALBERT_NER_ISA: 'baseline' },
  });
  t.is(stdout.trim(), 'baseline', stderr);
});

test('an instruction set that does not exist is refused by name', async (t) => {
  const { code, stderr } = await runNode(program, [], { env: { ...process.env, ALBERT_NER_ISA: 'mmx' } });
  t.not(code, 0);
  t.regex(stderr, /Expected one of .*baseline for ALBERT_NER_ISA but received mmx/);
});
