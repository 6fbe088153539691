/** `albert-ner predict` as a filter: JSON lines in, JSON lines out, one for one and in order. */

import { once } from 'node:events';
import { byteLines } from '../data/byte-lines.js';
import { type JsonMember, jsonMembers } from '../data/json-members.js';
import { AlbertNerError, toAlbertNerError } from '../errors.js';
import type { AlbertNer } from '../model/ner.js';
import type { Prediction } from '../model/packing.js';

export interface PredictLinesOptions {
  input: AsyncIterable<Uint8Array>;
  output: NodeJS.WritableStream;
  signal: AbortSignal;
  minScore?: number;
  /** Name of the member that holds the text. */
  field: string;
  /** Answer with all members of a record, as they are written, before our own. */
  keepFields: boolean;
  /** Stop at the first bad line instead of answering it. */
  strict: boolean;
}

/** Members of an answer, which none of a record may be. */
const OWN_MEMBERS = ['entities', 'windows', 'error'];

/** A line: blank, a text to tag, or why it is none. `kept` is what the answer repeats, as JSON members. */
type InputLine =
  | { blank: true }
  | { kept: string[]; text: string }
  | { kept: string[]; error: AlbertNerError };

/**
 * Answers every line; returns how many were bad. A blank line is answered with a blank one. Rejects with ERR_ABORTED, at once also
 * while the input is idle, and when strict with ERR_INVALID_DATA, after the answers to all lines before the bad one.
 */
export async function predictLines(ner: AlbertNer, options: PredictLinesOptions): Promise<number> {
  const { signal, minScore, output } = options;
  const waiting: InputLine[] = [];
  async function* texts(): AsyncGenerator<string> {
    for await (const { number, text, invalidByte } of byteLines(options.input)) {
      const line = text === null ? notUtf8(number, invalidByte) : readLine(text, number, options);
      if ('error' in line && options.strict) throw line.error;
      waiting.push(line);
      // What isn't tagged keeps its place among what is.
      yield 'text' in line ? line.text : '';
    }
  }
  let badLines = 0;
  for await (const prediction of ner.predictStream(texts(), { signal, minScore })) {
    const line = waiting.shift() as InputLine;
    if ('error' in line) badLines += 1;
    if (!output.write(`${answer(line, prediction)}\n`))
      await once(output, 'drain', { signal }).catch(rethrow);
  }
  return badLines;
}

function rethrow(error: unknown): never {
  if ((error as Error).name === 'AbortError')
    throw new AlbertNerError('ERR_ABORTED', 'The operation was aborted', { cause: error });
  throw toAlbertNerError(error);
}

function answer(line: InputLine, prediction: Prediction): string {
  if ('blank' in line) return '';
  const { kept } = line;
  if ('text' in line) {
    const { entities, windows } = prediction;
    return `{${[...kept, `"entities":${JSON.stringify(entities)}`, `"windows":${windows}`].join(',')}}`;
  }
  const { code, message } = line.error;
  return `{${[...kept, `"error":${JSON.stringify({ code, message })}`].join(',')}}`;
}

function notUtf8(number: number, invalidByte: number | undefined): InputLine {
  return {
    kept: [],
    error: badLine(number, `it is not UTF-8, at byte ${invalidByte} of the input`, {
      byteOffset: invalidByte,
    }),
  };
}

function badLine(line: number, reason: string, details: object = {}): AlbertNerError {
  return new AlbertNerError('ERR_INVALID_DATA', `Standard input, line ${line}: ${reason}`, {
    details: { file: '-', line, ...details },
  });
}

function readLine(
  line: string,
  number: number,
  { field, keepFields }: Pick<PredictLinesOptions, 'field' | 'keepFields'>,
): InputLine {
  if (line.trim() === '') return { blank: true };
  const record = objectOf(line);
  if (record === undefined) {
    return { kept: [], error: badLine(number, `expected a JSON object with ${JSON.stringify(field)}`) };
  }
  const kept = keptMembers(jsonMembers(line), keepFields);
  const text = record[field];
  if (typeof text === 'string') return { kept, text };
  return { kept, error: badLine(number, `expected a string for ${JSON.stringify(field)}`) };
}

/** Undefined for what isn't a JSON object. */
function objectOf(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function keptMembers(members: readonly JsonMember[], keepFields: boolean): string[] {
  const kept = keepFields
    ? members.filter(({ key }) => !OWN_MEMBERS.includes(key))
    : members.filter(({ key }) => key === 'id').slice(-1);
  return kept.map(({ key, source }) => `${JSON.stringify(key)}:${source}`);
}
