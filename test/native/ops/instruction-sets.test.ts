import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { runNode } from '../../support/child.js';
import { repoRoot } from '../../support/paths.js';

const program = join(repoRoot, 'dist', 'test', 'native', 'ops', 'children', 'print-values.js');

/** What the operators give with the kernels of one instruction set; null where the processor lacks it. */
async function valuesWith(isa: string): Promise<number[] | null> {
  const { code, stdout, stderr } = await runNode(program, [], {
    env: { ...process.env, ALBERT_NER_ISA: isa },
  });
  if (code === 0) return JSON.parse(stdout) as number[];
  if (/Expected one of .* for ALBERT_NER_ISA/.test(stderr)) return null;
  throw new Error(stderr);
}

test('every instruction set gives the same results, to 1e-5', async (t) => {
  const baseline = (await valuesWith('baseline')) as number[];
  t.true(baseline.length > 1000);
  const isX86 = process.arch === 'x64';
  const flags = isX86 && process.platform === 'linux' ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  for (const [isa, flag] of [
    ['avx2', 'avx2'],
    ['avx512', 'avx512vl'],
  ]) {
    const values = await valuesWith(isa);
    if (values === null) {
      t.false(flags.includes(` ${flag} `), isa);
      t.log(`This processor has no ${isa}`);
      continue;
    }
    t.is(values.length, baseline.length);
    const worst = values.reduce(
      (largest, value, k) =>
        Math.max(largest, Math.abs(value - baseline[k]) / Math.max(1, Math.abs(baseline[k]))),
      0,
    );
    t.true(worst < 1e-5, `${isa}: ${worst}`);
  }
});

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
