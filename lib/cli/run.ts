/** Around every command: streams, progress, Ctrl-C, errors and exit codes. */

import { constants } from 'node:os';
import { AlbertNerError, type ErrorCode, toAlbertNerError } from '../errors.js';
import { createProgress, type ProgressSink } from '../progress.js';
import type { GlobalOptions } from './common-options.js';

export interface CommandContext {
  /** For results, and nothing else. */
  stdout: NodeJS.WriteStream;
  json: boolean;
  /** Aborted by the first SIGINT or SIGTERM from the first time it is asked for. */
  readonly signal: AbortSignal;
  /** Draws on standard error. */
  progress: ProgressSink;
}

/** Exit codes: 0 done, 1 failure, 2 usage or config, 3 data, 4 native, 130 interrupted; 143 for SIGTERM. */
const EXIT_CODES: Readonly<Record<ErrorCode, number>> = {
  ERR_INVALID_ARGUMENT: 2,
  ERR_INVALID_CONFIG: 2,
  ERR_INVALID_DATA: 3,
  ERR_CHECKPOINT_MISMATCH: 3,
  ERR_CHECKPOINT_UNREADABLE: 3,
  ERR_MODEL_NOT_FOUND: 3,
  ERR_LABELS_MISMATCH: 3,
  ERR_DEVICE_UNAVAILABLE: 4,
  ERR_DISPOSED: 1,
  ERR_ABORTED: 130,
  ERR_QUEUE_FULL: 1,
  ERR_TEXT_TOO_LONG: 3,
  ERR_OUT_OF_MEMORY: 4,
  ERR_IO: 1,
  ERR_NATIVE_NOT_FOUND: 4,
  ERR_NATIVE_VERSION: 4,
  ERR_TORCH: 4,
  ERR_INTERNAL: 1,
};

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

export function exitCodeOf(code: ErrorCode): number {
  return EXIT_CODES[code];
}

/**
 * Runs a command and sets the exit code: the one it returns, or that of its error. A command that SIGINT or SIGTERM aborted ends
 * the process once it has cleaned up: what it wrote for a reader that doesn't read would keep it.
 */
export async function runAction(
  { json = false, quiet = false }: Pick<GlobalOptions, 'json' | 'quiet'>,
  action: (context: CommandContext) => Promise<number | undefined>,
): Promise<void> {
  const controller = new AbortController();
  let interruptedWith: number | undefined;
  const interrupt = (signal: NodeJS.Signals) => {
    // As a shell says it: 130 for SIGINT, 143 for SIGTERM.
    interruptedWith = 128 + constants.signals[signal];
    // The second one doesn't wait.
    if (controller.signal.aborted) process.exit(interruptedWith);
    controller.abort();
  };
  // A command that never asks for the signal is ended by the system.
  const listen = () => {
    for (const name of SIGNALS) if (!process.listeners(name).includes(interrupt)) process.on(name, interrupt);
    return controller.signal;
  };
  // A reader that closes the pipe (head) has seen enough: that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    const message = `Can't write to standard output: ${error.message}`;
    report(new AlbertNerError('ERR_IO', message, { details: { reason: error.code }, cause: error }), json);
    process.exit(exitCodeOf('ERR_IO'));
  });
  try {
    const progress = createProgress(process.stderr, { quiet });
    const code = await action({
      stdout: process.stdout,
      json,
      get signal() {
        return listen();
      },
      progress,
    });
    process.exitCode = code ?? 0;
  } catch (error) {
    const failure = toAlbertNerError(error);
    report(failure, json);
    if (failure.code === 'ERR_ABORTED' && interruptedWith !== undefined) process.exit(interruptedWith);
    process.exitCode = exitCodeOf(failure.code);
  } finally {
    for (const name of SIGNALS) process.off(name, interrupt);
  }
}

function report(error: AlbertNerError, json: boolean): void {
  const { code, message, details } = error;
  process.stderr.write(
    json ? `${JSON.stringify({ error: { code, message, details } })}\n` : `error ${code}: ${message}\n`,
  );
  if (code === 'ERR_INTERNAL' && !json)
    process.stderr.write(`${(error.cause as Error | undefined)?.stack ?? error.stack}\n`);
}
