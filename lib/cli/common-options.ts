/** Options every command takes. */

import { type Command, InvalidArgumentError, Option } from 'commander';

export interface GlobalOptions {
  json?: boolean;
  quiet?: boolean;
  device?: string;
  threads?: number;
  seed?: number;
  set: string[];
}

/** A parser of integers in [minimum, 2^53). */
export function integerFrom(minimum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < minimum) {
      throw new InvalidArgumentError(`Expected an integer >= ${minimum}.`);
    }
    return value;
  };
}

function device(text: string): string {
  if (!/^(auto|cpu|cuda(:\d{1,3})?)$/.test(text))
    throw new InvalidArgumentError('Expected auto, cpu, cuda or cuda:N.');
  return text;
}

export function addCommonOptions(command: Command): Command {
  return command
    .option('--json', 'results, and errors, as JSON')
    .option('--quiet', 'no progress')
    .addOption(new Option('--device <name>', 'auto, cpu, cuda or cuda:N').argParser(device))
    .addOption(new Option('--threads <n>', 'threads, 0 for all cores').argParser(integerFrom(0)))
    .addOption(new Option('--seed <n>', 'seed of all random numbers').argParser(integerFrom(0)))
    .addOption(
      new Option(
        '--set <key=value>',
        'a setting of the config, such as train.epochs=5; may be given several times',
      )
        .argParser((value: string, all: string[]) => [...all, value])
        .default([], 'none'),
    );
}

/** Where a loaded model runs, by the options and `--set`. Rejects with ERR_INVALID_CONFIG. */
export async function modelSettings(options: GlobalOptions): Promise<{ device: string; threads: number }> {
  const { loadConfig } = await import('../config/load-config.js');
  const { config } = await loadConfig({ set: commonSettings(options) });
  return { device: config.device, threads: config.threads };
}

/** Options that are settings too, written as `--set`, so that there is one order of precedence. */
export function commonSettings({ set, device, threads, seed }: GlobalOptions): string[] {
  const settings = [...set];
  if (device !== undefined) settings.push(`device=${device}`);
  if (threads !== undefined) settings.push(`threads=${threads}`);
  if (seed !== undefined) settings.push(`seed=${seed}`);
  return settings;
}
