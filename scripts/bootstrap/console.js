// How the set-up talks: one line per step on standard error, a bar while bytes arrive. Plain Node, no dependencies.

import { parseArgs } from 'node:util';

let quiet = false;

export function setQuiet(value) {
  quiet = value;
}

/** One line of progress. */
export function say(line) {
  if (!quiet) process.stderr.write(`${line}\n`);
}

/** A failure with its remedy: shown as it is, without a stack. */
export class SetupError extends Error {
  /** `code` is one of the library's error codes. */
  constructor(message, code = 'ERR_NATIVE_NOT_FOUND') {
    super(message);
    this.name = 'SetupError';
    this.code = code;
  }
}

/** Runs main(values, positionals) of a script on its arguments; `parse` goes to parseArgs. Sets the exit code. */
export async function runScript(help, parse, main) {
  try {
    const options = { ...parse.options, help: { type: 'boolean' } };
    const { values, positionals } = parseArgs({ ...parse, options });
    if (values.help) process.stdout.write(help);
    else await main(values, positionals);
  } catch (error) {
    const usage = error.code?.startsWith('ERR_PARSE_ARGS');
    if (!(error instanceof SetupError) && !usage) throw error;
    process.stderr.write(`error ${usage ? 'ERR_INVALID_ARGUMENT' : error.code}: ${error.message}\n`);
    process.exitCode = usage ? 2 : 4;
  }
}

const LINE_INTERVAL_MS = 3000;
const BAR_WIDTH = 30;
const MEGABYTE = 1e6;

/** A bar on a terminal, a line every few seconds elsewhere. `measure` gives the bytes so far. */
export function watchBytes(name, total, measure) {
  const stream = process.stderr;
  let lastMs = 0;
  const show = () => {
    if (quiet) return;
    const bytes = Math.min(measure(), total);
    const text = `${(bytes / MEGABYTE).toFixed(0)}/${(total / MEGABYTE).toFixed(0)} MB`;
    if (stream.isTTY) {
      const filled = Math.round((BAR_WIDTH * bytes) / total);
      stream.write(`\r${name} [${'='.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] ${text}`);
    } else if (Date.now() - lastMs >= LINE_INTERVAL_MS) {
      lastMs = Date.now();
      stream.write(`${name}: ${text}\n`);
    }
  };
  const timer = setInterval(show, 250);
  return () => {
    clearInterval(timer);
    if (stream.isTTY && !quiet) stream.write('\n');
  };
}
