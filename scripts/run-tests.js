#!/usr/bin/env node
// Runs ava, shows failures as they come, names the tests that couldn't run here and ends with one line, "N passed, N
// failed". Arguments are test files or ava options, and
//
//   --coverage           measures lib and albert
//   --may-not-run FILE   a JSON list of titles, in which * stands for anything: a test that can't run here and isn't in
//                        it has failed, and so has a title that no test has; for runs of the whole suite
//   --project FOLDER     tests of another project, for the tests of this script

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** What test/support/unavailable.ts writes into the log of a test that can't run. */
const NOT_RUN = /^# {3}NOT RUN: (.*)$/;

const args = process.argv.slice(2);
const coverage = take('--coverage', 0) !== undefined;
const [listFile] = take('--may-not-run', 1) ?? [];
const [project = root] = take('--project', 1) ?? [];
/** Patterns of titles; null when every test may be not run. */
const mayNotRun = listFile === undefined ? null : JSON.parse(readFileSync(listFile, 'utf8')).map(patternOf);

/** Takes an option with its values out of the arguments; undefined when it isn't there. */
function take(name, values) {
  const index = args.indexOf(name);
  return index < 0 ? undefined : args.splice(index, 1 + values).slice(1);
}

function patternOf(listed) {
  const parts = listed.split('*').map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'));
  return { listed, matches: (title) => new RegExp(`^${parts.join('.*')}$`).test(title) };
}

/** The executable of a package, run by node. */
function executable(name, path) {
  return join(root, 'node_modules', name, path);
}

function startAva() {
  const ava = [executable('ava', 'entrypoints/cli.mjs'), '--tap', ...args];
  const c8 = [
    executable('c8', 'bin/c8.js'),
    '--reporter=text',
    '--include=dist/lib/**',
    '--include=dist/albert/**',
  ];
  const command = coverage ? [...c8, process.execPath, ...ava] : ava;
  return spawn(process.execPath, command, { cwd: resolve(project), stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Reads TAP; resolves to the tests, { title, state, why }, and to the exit code. Shows failures and the coverage. */
async function readTests(child) {
  const closed = new Promise((resolve) => child.on('close', resolve));
  const tests = [];
  let inFailure = false;
  let inTable = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const [, not, title, directive] = /^(not )?ok \d+ - (.*?)( # (?:SKIP|TODO))?$/.exec(line) ?? [];
    if (title !== undefined) {
      const state = directive ? 'not run' : not ? 'failed' : 'passed';
      tests.push({ title, state, why: 'its source says so' });
      inFailure = state === 'failed';
    } else if (/^(1\.\.\d+|# (tests|pass|fail|skip) )/.test(line)) {
      inFailure = false;
    } else if (NOT_RUN.test(line) && tests.at(-1)?.state === 'passed') {
      Object.assign(tests.at(-1), { state: 'not run', why: NOT_RUN.exec(line)[1] });
    }
    inTable ||= coverage && /^-+\|/.test(line);
    if (inFailure || inTable) console.log(line);
  }
  return { tests, code: await closed };
}

const isAllowed = ({ title }) => mayNotRun === null || mayNotRun.some(({ matches }) => matches(title));

/** What contradicts the list of tests that may be not run: messages. */
function contradictions(tests) {
  const unlisted = tests.filter((test) => test.state === 'not run' && !isAllowed(test));
  const unknown = (mayNotRun ?? []).filter(({ matches }) => !tests.some(({ title }) => matches(title)));
  return [
    ...unlisted.map(({ title, why }) => `${title}: not run (${why}), and ${listFile} doesn't list it`),
    ...unknown.map(({ listed }) => `${listed}: no test has this title, but ${listFile} lists it`),
  ];
}

const { tests, code } = await readTests(startAva());
const found = contradictions(tests);
for (const message of found) console.log(`not ok - ${message}`);
const inState = (state) => tests.filter((test) => test.state === state);
const notRun = inState('not run').filter(isAllowed);
if (notRun.length > 0) console.log('Not run:');
for (const { title, why } of notRun) console.log(`  ${title}: ${why}`);
const passed = inState('passed').length;
let failed = inState('failed').length + found.length;
// A crash that no test line stands for is a failure, too, and so is a run without tests.
if (failed === 0 && (code !== 0 || tests.length === 0)) failed = 1;
console.log(`${passed} passed, ${failed} failed${notRun.length > 0 ? `, ${notRun.length} not run` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
