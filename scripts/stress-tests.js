#!/usr/bin/env node
// Runs the tests again and again beside processes that burn the processors: what only fails on a busy machine shows.
//
//   node scripts/stress-tests.js [--runs 20] [--burners N] [--log FILE] [--append] [--files TEST...]
//
// Burners are one per processor unless told otherwise. Each round adds a line to the log, build/stress-tests.jsonl by
// default; --append counts the rounds that are in it already. Exits with 1 if a round failed.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Ends with its parent, however that ends. */
const BURN = 'const parent = process.ppid; while (process.ppid === parent);';

function readOptions() {
  const { values, positionals } = parseArgs({
    options: {
      runs: { type: 'string', default: '20' },
      burners: { type: 'string', default: String(availableParallelism()) },
      log: { type: 'string', default: join(root, 'build', 'stress-tests.jsonl') },
      append: { type: 'boolean', default: false },
      files: { type: 'string', multiple: true, default: [] },
    },
    // A pattern after --files is several words to a shell.
    allowPositionals: true,
  });
  const files = [...values.files, ...positionals];
  return { ...values, runs: count(values, 'runs', 1), burners: count(values, 'burners', 0), files };
}

function count(values, name, least) {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number >= least) return number;
  throw new Error(`Expected an integer of at least ${least} for --${name} but received ${values[name]}`);
}

/** The rounds in the log; one that isn't continued starts anew. */
function openLog({ log, append }) {
  mkdirSync(dirname(resolve(log)), { recursive: true });
  if (!append || !existsSync(log)) writeFileSync(log, '');
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

/** One run of the tests: what goes into the log. */
async function runRound(round, files) {
  const startedMs = performance.now();
  const command = [join(root, 'scripts', 'run-tests.js'), ...files];
  const child = spawn(process.execPath, command, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const failures = [];
  let counts = null;
  for await (const line of createInterface({ input: child.stdout })) {
    console.log(line);
    const failure = /^not ok (?:\d+ )?- (.*)$/.exec(line);
    if (failure) failures.push(failure[1]);
    counts = /^(\d+) passed, (\d+) failed(?:, (\d+) not run)?$/.exec(line) ?? counts;
  }
  await closed;
  const [passed, failed, notRun] = (counts?.slice(1) ?? [0, 1, 0]).map((value) => Number(value ?? 0));
  return {
    round,
    passed,
    failed,
    notRun,
    seconds: Math.round((performance.now() - startedMs) / 1000),
    failures,
  };
}

function summaryOf(rounds) {
  const failed = rounds.filter((round) => round.failed > 0);
  const times = new Map();
  for (const title of failed.flatMap(({ failures }) => failures))
    times.set(title, (times.get(title) ?? 0) + 1);
  const seconds = rounds.map((round) => round.seconds);
  return [
    ...[...times].map(([title, number]) => `failed in ${number} of ${rounds.length} rounds: ${title}`),
    `${rounds.length} rounds of ${Math.min(...seconds)} to ${Math.max(...seconds)} s: ${failed.length} failed`,
  ].join('\n');
}

async function main() {
  const options = readOptions();
  const { runs, burners, log, files } = options;
  const setUp = spawnSync(process.execPath, [join(root, 'scripts', 'bootstrap.js')], { stdio: 'inherit' });
  if (setUp.status !== 0) throw new Error('Expected a set-up that works: node scripts/bootstrap.js');
  const rounds = openLog(options);
  const burning = Array.from({ length: burners }, () =>
    spawn(process.execPath, ['-e', BURN], { stdio: 'ignore' }),
  );
  try {
    while (rounds.length < runs) {
      const result = await runRound(rounds.length + 1, files);
      appendFileSync(log, `${JSON.stringify(result)}\n`);
      rounds.push(result);
    }
  } finally {
    for (const burner of burning) burner.kill('SIGKILL');
  }
  console.log(summaryOf(rounds));
  process.exitCode = rounds.some(({ failed }) => failed > 0) ? 1 : 0;
}

try {
  await main();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
}
