#!/usr/bin/env node
// npm run bench -- CASE…: measures ours against a peer, alternating in one run; a process per case. Results are printed
// and written to bench/results/CASE.json. Peers run in Python: pip install -r bench/peers/requirements.txt, and name the
// interpreter with PYTHON if it isn't python3.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const cases = readdirSync(new URL('cases/', import.meta.url)).map((name) => name.replace(/\.js$/, ''));
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !cases.includes(name));
if (wanted.length === 0 || unknown.length > 0) {
  console.error(`error: Expected cases (${cases.join(', ')}) but received ${unknown.join(', ') || 'none'}`);
  process.exit(2);
}
for (const name of wanted) {
  const script = fileURLToPath(new URL('run-case.js', import.meta.url));
  const { status } = spawnSync(process.execPath, [script, name], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
