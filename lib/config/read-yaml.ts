/** YAML text to plain values with clear errors: the only place that knows which YAML library is used. */

import { dump, load, YAMLException } from 'js-yaml';
import { AlbertNerError } from '../errors.js';

/** A config is small; a larger file is a mistake or an attack by nested aliases. */
const MAX_CHARACTERS = 1 << 20;

/** Throws ERR_INVALID_CONFIG with file and line: syntax, a key given twice, aliases, not a mapping. */
export function parseYamlMapping(text: string, file: string): Record<string, unknown> {
  if (text.length > MAX_CHARACTERS) throw invalid(file, 1, `it has more than ${MAX_CHARACTERS} characters`);
  if (text.trim() === '') return {};
  const value = parse(text, file);
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw invalid(file, 1, 'it is not a mapping of keys to values');
  return value as Record<string, unknown>;
}

/** One YAML scalar or flow collection, as in `--set a.b=VALUE`. */
export function parseYamlValue(text: string, name: string): unknown {
  return text.trim() === '' ? '' : parse(text, name);
}

function parse(text: string, file: string): unknown {
  try {
    return load(text);
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    throw invalid(file, (error.mark?.line ?? 0) + 1, error.reason, error);
  }
}

function invalid(file: string, line: number, why: string, cause?: unknown): AlbertNerError {
  return new AlbertNerError('ERR_INVALID_CONFIG', `${file}:${line}: ${why}`, {
    details: { file, line },
    cause,
  });
}

export function toYaml(value: unknown): string {
  return dump(value, { lineWidth: 110 });
}

/** The line, from 1, where a key path stands in block-style YAML; 1 when it can't be found. */
export function lineOfKey(text: string, path: readonly string[]): number {
  let depth = 0;
  const indents: number[] = [-1];
  for (const [index, line] of text.split('\n').entries()) {
    const match = /^( *)(?:"([^"]*)"|'([^']*)'|([^\s#:'"][^:]*?))\s*:(?:\s|$)/.exec(line);
    if (!match) continue;
    const indent = match[1].length;
    const key = match[2] ?? match[3] ?? match[4];
    while (depth > 0 && indent <= indents[depth]) depth -= 1;
    if (key !== path[depth] || indent <= indents[depth]) continue;
    if (depth === path.length - 1) return index + 1;
    depth += 1;
    indents[depth] = indent;
  }
  return 1;
}
