/** What the readers of corpora share: the forms they take and the sentences they give. Types and names only. */

import type { Span } from '../labels/spans.js';

/**
 * `conll`: two or more columns, blank line between sentences. `pair`: source.txt and target.txt. `inline`: running text
 * with {{label:entity}}. `jsonl`: a JSON object a line, with a text and its entities.
 */
export const CORPUS_FORMATS = ['conll', 'pair', 'inline', 'jsonl'] as const;

export type CorpusFormat = (typeof CORPUS_FORMATS)[number];

/** A file that was read. */
export interface SourceLines {
  /** Its path, for messages. */
  file: string;
  /** Without their ends. */
  lines: readonly string[];
}

/** Where something stands. */
export interface SourcePlace {
  file: string;
  /** From 1 on. */
  line: number;
}

/** A sentence with its entities; spans are UTF-16 offsets into `text`. */
export interface LabelledSentence {
  text: string;
  spans: Span[];
  file: string;
  /** Where it starts, from 1. */
  line: number;
}

/** A sentence as a file has it: one tag per token. */
export interface TaggedSentence {
  tokens: string[];
  tags: string[];
  file: string;
  /** Line of each token, from 1. */
  lines: number[];
  /** What a reader had to leave out; default nothing. */
  warnings?: CorpusWarning[];
}

export interface CorpusWarning extends SourcePlace {
  message: string;
}
