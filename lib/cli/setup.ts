/** `albert-ner setup`: the bootstrap of a checkout, for an installed package: libtorch and the addon. */

import type { Command } from 'commander';
import { runAction } from './run.js';

/** Plain JavaScript, so that a fresh checkout can run it before anything is compiled. */
const SETUP_MODULE = new URL('../../../scripts/bootstrap/setup.js', import.meta.url).href;

interface SetupModule {
  setUp(options: SetupOptions & { only: 'native' }): Promise<{
    torch: { folder: string; version: string };
    addon: string;
  }>;
}

interface SetupOptions {
  json?: boolean;
  quiet?: boolean;
  torch?: string;
  indexUrl?: string;
  from?: string;
  force?: boolean;
}

export function register(program: Command): void {
  program
    .command('setup')
    .summary('find or install libtorch and build the addon')
    .description(
      'Finds libtorch or installs it into the cache folder, builds the addon and tests that it loads.',
    )
    .option('--torch <path>', 'folder of a libtorch, or "python" for the torch of the Python in the path')
    .option('--index-url <url>', 'package index for pip, such as one with CPU builds')
    .option('--from <file>', 'install libtorch from this wheel instead of downloading it')
    .option('--force', 'build again even if nothing changed')
    .option('--json', 'the result, and errors, as JSON')
    .option('--quiet', 'no progress')
    .action((options: SetupOptions) =>
      runAction(options, async (context) => {
        const { setUp } = (await import(SETUP_MODULE)) as SetupModule;
        const report = await setUp({ ...options, only: 'native' });
        if (context.json) context.stdout.write(`${JSON.stringify(report)}\n`);
        else
          context.stdout.write(
            `libtorch ${report.torch.version}: ${report.torch.folder}\naddon: ${report.addon}\n`,
          );
        return undefined;
      }),
    );
}
