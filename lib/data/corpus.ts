/** Labelled corpora: the common form every reader produces, and the one function that reads them. */

import { AlbertNerError } from '../errors.js';
import { type CorpusScheme, type DecodedTags, decodeCorpusTags } from '../labels/corpus-tags.js';
import { parseTag } from '../labels/scheme.js';
import { withEscapes } from '../text/visible.js';
import { closestName } from '../validate.js';
import { formatOf, isPair } from './detect.js';
import { EntityEdges } from './entity-edges.js';
import { readConll } from './read-conll.js';
import { readInline } from './read-inline.js';
import { readJsonl } from './read-jsonl.js';
import { readLines } from './read-lines.js';
import { readPair } from './read-pair.js';
import type {
  CorpusFormat,
  CorpusWarning,
  LabelledSentence,
  SourceLines,
  TaggedSentence,
} from './sentences.js';

export interface Corpus {
  sentences: LabelledSentence[];
  /** Sorted. */
  labels: string[];
  format: CorpusFormat;
  scheme: CorpusScheme;
  /** Tags that can't stand where they do, entities within others: what was read as O. */
  warnings: CorpusWarning[];
}

export interface ReadCorpusOptions {
  /** Default "auto". */
  format?: CorpusFormat | 'auto';
  /** The labels a corpus may use; default any. */
  labels?: readonly string[];
  /** New names of labels, applied first; null drops a label's entities. */
  rename?: Readonly<Record<string, string | null>>;
}

/** `isDropped`: of labels whose entities are not wanted, for forms in which one may hide another. */
type Reader = (file: SourceLines, isDropped: (label: string) => boolean) => TaggedSentence[];

const READERS: Readonly<Record<Exclude<CorpusFormat, 'pair'>, Reader>> = {
  conll: readConll,
  inline: readInline,
  jsonl: readJsonl,
};

/**
 * Reads a corpus whole. The text of a sentence is its tokens joined without separator.
 *
 * Rejects with ERR_INVALID_DATA, file and line: missing or empty file, not UTF-8, counts that differ, a tag that isn't
 * one, a label that isn't in `labels`, more entities that continue nothing than others.
 */
export async function readCorpus(path: string, options: ReadCorpusOptions = {}): Promise<Corpus> {
  const { format: wanted = 'auto', labels: allowed, rename = {} } = options;
  const renamed = (label: string) => (Object.hasOwn(rename, label) ? rename[label] : label);
  const { format, tagged } = await readTagged(path, wanted, (label) => renamed(label) === null);
  if (tagged.length === 0) {
    throw new AlbertNerError('ERR_INVALID_DATA', `${path} has no sentence`, {
      details: { file: path, line: 1 },
    });
  }
  const { scheme, decode } = decodeCorpusTags(
    tagged.map((sentence) => sentence.tags),
    (index, position) => badTag(tagged[index], position),
  );
  const checkAllowed = (label: string | null, sentence: TaggedSentence, position: number) => {
    if (allowed && label !== null && !allowed.includes(label))
      throw unknownLabel(label, allowed, sentence, position);
  };
  const warnings: CorpusWarning[] = [];
  const edges = new EntityEdges();
  const broken = new BrokenEntities();
  const labels = new Set<string>();
  const sentences = tagged.map((sentence, index) => {
    const { spans: found, illegal } = decode(index);
    broken.add(sentence, { spans: found, illegal });
    for (const warning of sentence.warnings ?? []) warnings.push(warning);
    const spans = found.flatMap((span) => {
      const label = renamed(span.label);
      return label === null ? [] : [{ ...span, label }];
    });
    for (const { position, tag, reason } of illegal) {
      checkAllowed(renamed(parseTag(tag)?.label ?? ''), sentence, position);
      warnings.push({
        file: sentence.file,
        line: sentence.lines[position],
        message: `${tag}: ${reason}; read as O`,
      });
    }
    for (const { label, start } of spans) {
      checkAllowed(label, sentence, start);
      labels.add(label);
    }
    return toLabelled(sentence, spans, edges);
  });
  broken.check();
  for (const warning of edges.warnings()) warnings.push(warning);
  if (labels.size === 0) {
    warnings.push({ file: path, line: 1, message: `no entity in its ${sentences.length} sentences` });
  }
  return { sentences, labels: [...labels].sort(), format, scheme, warnings };
}

/** Entities whose first tag continues nothing. Where they are the most, the tags are of no scheme or of several. */
class BrokenEntities {
  private sound = 0;
  private broken = 0;
  private first: { file: string; line: number; tag: string } | null = null;

  add({ file, lines }: TaggedSentence, { spans, illegal }: DecodedTags): void {
    this.sound += spans.length;
    illegal.forEach(({ position, tag }, index) => {
      const before = illegal[index - 1];
      const label = parseTag(tag)?.label;
      if (before?.position === position - 1 && parseTag(before.tag)?.label === label) return;
      this.broken += 1;
      this.first ??= { file, line: lines[position], tag };
    });
  }

  check(): void {
    if (this.first === null || this.broken <= this.sound) return;
    const { file, line, tag } = this.first;
    throw new AlbertNerError(
      'ERR_INVALID_DATA',
      `${file}:${line}: Expected tags of one scheme but received ${tag} where nothing goes on, as in ${this.broken} of ` +
        `${this.broken + this.sound} entities; write the tags of all sentences in one scheme, such as BIO`,
      { details: { file, line } },
    );
  }
}

/** Reads every file once: it may be a pipe. */
async function readTagged(
  path: string,
  wanted: CorpusFormat | 'auto',
  isDropped: (label: string) => boolean,
): Promise<{ format: CorpusFormat; tagged: TaggedSentence[] }> {
  if (wanted === 'pair' || (wanted === 'auto' && (await isPair(path)))) {
    return { format: 'pair', tagged: await readPair(path) };
  }
  const lines = await readLines(path);
  const format = wanted === 'auto' ? formatOf(lines) : wanted;
  return { format, tagged: READERS[format]({ file: path, lines }, isDropped) };
}

/** Token positions to UTF-16 offsets, entities from their first character that can be seen to the last one. */
function toLabelled(
  { tokens, file, lines }: TaggedSentence,
  spans: DecodedTags['spans'],
  edges: EntityEdges,
): LabelledSentence {
  const starts: number[] = [0];
  for (const token of tokens) starts.push((starts.at(-1) as number) + token.length);
  const text = tokens.join('');
  return {
    text,
    spans: spans.map(({ start, end, label }) =>
      edges.trim(text, { start: starts[start], end: starts[end], label }, { file, line: lines[start] }),
    ),
    file,
    line: lines[0],
  };
}

function badTag({ file, lines, tags }: TaggedSentence, position: number): AlbertNerError {
  const line = lines[position];
  return new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${line}: Expected a tag such as O, B-PER or I_PER but received ${withEscapes(JSON.stringify(tags[position]))}`,
    { details: { file, line } },
  );
}

function unknownLabel(
  label: string,
  allowed: readonly string[],
  { file, lines }: TaggedSentence,
  position: number,
): AlbertNerError {
  const line = lines[position];
  const closest = closestName(label, allowed);
  return new AlbertNerError(
    'ERR_INVALID_DATA',
    `${file}:${line}: Expected one of the labels ${allowed.join(', ')} but received ${label}` +
      (closest ? `; did you mean ${closest}?` : ''),
    { details: { file, line, label } },
  );
}
