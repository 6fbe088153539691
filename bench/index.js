#!/usr/bin/env node
// npm run bench -- CASE… [--quick] [--no-peer]: measures ours against peers, alternating in one run; a process per case.
// Results are printed and written to bench/results/CASE.json; bench/readme-table.js brings them into the READMEs. Peers
// run in Python: pip install -r bench/peers/requirements.txt, and name the interpreter with PYTHON if it isn't python3.
//
//   --quick    tiny shapes and one round: shows that everything works, writes nothing
//   --no-peer  ours alone, writes nothing

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const cases = readdirSync(new URL('cases/', import.meta.url)).map((name) => name.replace(/\.js$/, ''));
let parsed;
try {
  const options = { quick: { type: 'boolean' }, 'no-peer': { type: 'boolean' } };
  parsed = parseArgs({ options, allowPositionals: true });
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(2);
}
const wanted = parsed.positionals;
const flags = Object.keys(parsed.values).map((name) => `--${name}`);
const unknown = wanted.filter((name) => !cases.includes(name));
if (wanted.length === 0 || unknown.length > 0) {
  console.error(`error: Expected cases (${cases.join(', ')}) but received ${unknown.join(', ') || 'none'}`);
  process.exit(2);
}
for (const name of wanted) {
  const script = fileURLToPath(new URL('run-case.js', import.meta.url));
  const { status } = spawnSync(process.execPath, [script, name, ...flags], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
