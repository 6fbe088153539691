#!/usr/bin/env node
// Sets a checkout up: npm packages, libtorch, the addon, TypeScript. Plain Node without dependencies; quick when there
// is nothing to do. `npm run demo` and `npm test` call it.

import { parseArgs } from 'node:util';
import { SetupError } from './bootstrap/console.js';
import { setUp } from './bootstrap/setup.js';

const HELP = `Usage: node scripts/bootstrap.js [options]

  --only native|typescript  only that part
  --torch PATH|python[=EXE] use this libtorch, or the torch of a Python
  --index-url URL           package index for pip, such as one with CPU builds
  --from FILE               install libtorch from this wheel
  --force                   build again even if nothing changed
  --dry-run                 say what would be used, change nothing
  --json                    the result as JSON
  --quiet                   no progress
`;

const OPTIONS = {
  only: { type: 'string' },
  torch: { type: 'string' },
  'index-url': { type: 'string' },
  from: { type: 'string' },
  force: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  json: { type: 'boolean' },
  quiet: { type: 'boolean' },
  help: { type: 'boolean' },
};

try {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    process.stdout.write(HELP);
  } else {
    if (values.only !== undefined && !['native', 'typescript'].includes(values.only)) {
      throw new SetupError(
        `Expected native or typescript for --only but received ${values.only}`,
        'ERR_INVALID_ARGUMENT',
      );
    }
    const { 'index-url': indexUrl, 'dry-run': dryRun, json, ...rest } = values;
    const report = await setUp({ ...rest, indexUrl, dryRun });
    if (json || dryRun) process.stdout.write(`${JSON.stringify(report)}\n`);
  }
} catch (error) {
  const usage = error.code?.startsWith('ERR_PARSE_ARGS') || error.code === 'ERR_INVALID_ARGUMENT';
  if (!(error instanceof SetupError) && !usage) throw error;
  process.stderr.write(`error ${usage ? 'ERR_INVALID_ARGUMENT' : error.code}: ${error.message}\n`);
  process.exitCode = usage ? 2 : 4;
}
