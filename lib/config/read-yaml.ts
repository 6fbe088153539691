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

/** The line, from 1, where a key path stands in block-style YAML, or the part of it that is found. */
export function lineOfKey(text: string, path: readonly string[]): number {
  let depth = 0;
  let deepest = 1;
  const indents: number[] = [-1];
  for (const [index, line] of text.split('\n').entries()) {
    const match = /^( *)(?:"([^"]*)"|'([^']*)'|([^\s#:'"][^:]*?))\s*:(?:\s|$)/.exec(line);
    if (!match) continue;
    const indent = match[1].length;
    const key = match[2] ?? match[3] ?? match[4];
    while (depth > 0 && indent <= indents[depth]) depth -= 1;
    if (key !== path[depth] || indent <= indents[depth]) continue;
    deepest = index + 1;
    depth += 1;
    if (depth === path.length) break;
    indents[depth] = indent;
  }
  return deepest;
}
