/** `albert-ner doctor`: one line per thing the package needs, with its remedy where it is missing. */

import type { Command } from 'commander';
import colors from 'picocolors';
import { runAction } from './run.js';

/** Plain JavaScript, so that it runs before anything is compiled. */
const DOCTOR_MODULE = new URL('../../../scripts/bootstrap/doctor.js', import.meta.url).href;

interface DoctorModule {
  /** `ok` is null for what is only noted. */
  diagnose(): Promise<{ name: string; ok: boolean | null; value: string; remedy?: string }[]>;
}

const MARKS = { true: colors.green('ok  '), false: colors.red('fail'), null: colors.dim('note') };

export function register(program: Command): void {
  program
    .command('doctor')
    .summary('check everything the package needs')
    .description(
      'Checks tools, libtorch, the addon and the machine. Exits with 1 when something needed is missing.',
    )
    .option('--json', 'the result, and errors, as JSON')
    .option('--quiet', 'no progress')
    .action((options: { json?: boolean; quiet?: boolean }) =>
      runAction(options, async (context) => {
        const { diagnose } = (await import(DOCTOR_MODULE)) as DoctorModule;
        const checks = await diagnose();
        if (context.json) {
          context.stdout.write(`${JSON.stringify(checks)}\n`);
        } else {
          const width = Math.max(...checks.map(({ name }) => name.length));
          for (const { name, ok, value, remedy } of checks) {
            const hint = remedy ? `  -> ${remedy}` : '';
            context.stdout.write(`${MARKS[`${ok}`]} ${name.padEnd(width)}  ${value}${hint}\n`);
          }
        }
        return checks.some(({ ok }) => ok === false) ? 1 : 0;
      }),
    );
}
