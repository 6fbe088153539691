/** Settings from a YAML file and `--set`, validated; every error names file, line and key. */

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import { AlbertNerError } from '../errors.js';
import { closestName, describeValue } from '../validate.js';
import { lineOfKey, parseYamlMapping, parseYamlValue, toYaml } from './read-yaml.js';
import { type Config, configSchema, type FileConfig, toConfig } from './schema.js';

export interface LoadConfigOptions {
  /** YAML file; default none, only defaults and `set`. */
  file?: string;
  /** "a.b=value" each, the value a YAML scalar or flow collection; later ones win. */
  set?: readonly string[];
}

export interface LoadedConfig {
  config: Config;
  /** The complete settings under the file's keys, paths resolved: `toYaml` of it is a config file. */
  settings: FileConfig;
}

/** Keys whose values are paths; in a file they are relative to the file's folder. */
const PATHS: readonly (readonly string[])[] = [
  ['encoder'],
  ['model_path'],
  ['train', 'data'],
  ['train', 'dev'],
];

/** Rejects with ERR_INVALID_CONFIG; details has `file` and `line`, or `option` for `set`. */
export async function loadConfig({ file, set = [] }: LoadConfigOptions): Promise<LoadedConfig> {
  const text = file === undefined ? '' : await readConfigFile(file);
  const values = file === undefined ? {} : parseYamlMapping(text, file);
  if (file !== undefined) resolvePaths(values, dirname(file));
  const overridden = new Set(set.map((assignment) => applyOverride(values, assignment)));
  const result = configSchema.safeParse(values);
  if (!result.success) throw toError(result.error.issues[0], { values, text, file, overridden });
  return { config: toConfig(result.data), settings: result.data };
}

/** YAML of complete settings, which loads to the same settings. */
export function formatSettings(settings: FileConfig): string {
  return toYaml(settings);
}

async function readConfigFile(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).replace(/^\ufeff/, '');
  } catch (cause) {
    throw new AlbertNerError(
      'ERR_INVALID_CONFIG',
      `Can't read the config ${file}: ${(cause as Error).message}`,
      {
        details: { file },
        cause,
      },
    );
  }
}

function resolvePaths(values: Record<string, unknown>, folder: string): void {
  const corpora = (values.train as { corpora?: unknown } | undefined)?.corpora;
  const indexes = Array.isArray(corpora) ? [...corpora.keys()].map(String) : [];
  const inCorpora = indexes.flatMap((index) => [
    ['train', 'corpora', index, 'data'],
    ['train', 'corpora', index, 'dev'],
  ]);
  const text = (values.ngrams as { text?: unknown } | undefined)?.text;
  const inText = Array.isArray(text)
    ? [...text.keys()].map((index) => ['ngrams', 'text', String(index)])
    : [];
  for (const path of [...PATHS, ...inCorpora, ...inText]) {
    const parent = path
      .slice(0, -1)
      .reduce<unknown>((value, key) => (value as Record<string, unknown>)?.[key], values);
    const key = path.at(-1) as string;
    const owner = parent as Record<string, unknown> | null | undefined;
    if (typeof owner?.[key] === 'string' && owner[key] !== '')
      owner[key] = resolve(folder, owner[key] as string);
  }
}

/** Writes one `a.b=value` into `values`; returns its key path. */
function applyOverride(values: Record<string, unknown>, assignment: string): string {
  const equals = assignment.indexOf('=');
  const path = assignment.slice(0, Math.max(equals, 0));
  const keys = path.split('.');
  if (equals < 1 || keys.some((key) => key === '' || key === '__proto__')) {
    throw new AlbertNerError(
      'ERR_INVALID_CONFIG',
      `Expected key=value for --set but received ${describeValue(assignment)}`,
      {
        details: { option: '--set' },
      },
    );
  }
  let owner = values;
  for (const key of keys.slice(0, -1)) {
    if (typeof owner[key] !== 'object' || owner[key] === null || !Object.hasOwn(owner, key)) owner[key] = {};
    owner = owner[key] as Record<string, unknown>;
  }
  owner[keys.at(-1) as string] = parseYamlValue(assignment.slice(equals + 1), `--set ${path}`);
  return path;
}

interface ErrorContext {
  values: Record<string, unknown>;
  text: string;
  file: string | undefined;
  overridden: ReadonlySet<string>;
}

function toError(issue: z.core.$ZodIssue, { values, text, file, overridden }: ErrorContext): AlbertNerError {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') path.push(issue.keys[0]);
  const option = path.join('.');
  const fromSet =
    file === undefined || [...overridden].some((key) => option === key || option.startsWith(`${key}.`));
  const line = fromSet ? undefined : lineOfKey(text, path);
  const place = fromSet ? `--set ${option}` : `${file}:${line}`;
  const details = fromSet ? { option } : { option, file, line };
  if (issue.code === 'unrecognized_keys') {
    const closest = closestName(issue.keys[0], knownKeys(path.slice(0, -1)));
    const hint = closest ? `; did you mean ${closest}?` : '';
    return new AlbertNerError('ERR_INVALID_CONFIG', `${place}: Unknown key ${option}${hint}`, { details });
  }
  const received = path.reduce<unknown>(
    (value, key) => (value as Record<string, unknown> | undefined)?.[key],
    values,
  );
  const what = issue.message.replace(/^Invalid \w+: e/, 'E').replace(/, received .*$/, '');
  const message = `${place}: ${option}: ${what} but received ${describeValue(received)}`;
  return new AlbertNerError('ERR_INVALID_CONFIG', message, { details });
}

/** Keys the schema knows at a path. */
function knownKeys(path: readonly string[]): string[] {
  const defaults = configSchema.parse({}) as unknown;
  const owner = path.reduce<unknown>(
    (value, key) => (value as Record<string, unknown> | undefined)?.[key],
    defaults,
  );
  return typeof owner === 'object' && owner !== null ? Object.keys(owner) : [];
}
