#!/usr/bin/env node
// The command line: the package's bin, and what the other scripts of this folder call.

import { existsSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const program = new URL('../dist/lib/cli/program.js', import.meta.url);

/** Runs the command line with these arguments. */
export async function run(args) {
  if (!existsSync(program)) {
    console.error('error ERR_NATIVE_NOT_FOUND: The project is not built yet; run: node scripts/bootstrap.js');
    process.exit(4);
  }
  const { main } = await import(program);
  await main(args);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await run(process.argv.slice(2));
}
