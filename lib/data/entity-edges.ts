/**
 * The one rule for the edges of a corpus's entities, whatever its form: they are the first and the last unit of the tokenizer. White
 * space, format characters and marks at an edge make no unit, so no prediction could ever agree with them.
 */

import { AlbertNerError } from '../errors.js';
import type { Span } from '../labels/spans.js';
import { visibleRange, withEscapes } from '../text/visible.js';
import type { CorpusWarning, SourcePlace } from './sentences.js';

export class EntityEdges {
  private count = 0;
  private first: (SourcePlace & { shown: string }) | null = null;

  /** The span with edges that can be seen. Throws ERR_INVALID_DATA, file and line, when nothing of it can. */
  trim(text: string, span: Span, place: SourcePlace): Span {
    const range = visibleRange(text, span.start, span.end);
    const shown = `${span.label} ${withEscapes(JSON.stringify(text.slice(span.start, span.end)))}`;
    if (range === null) {
      throw new AlbertNerError(
        'ERR_INVALID_DATA',
        `${place.file}:${place.line}: Expected an entity with a character that can be seen but received ${shown}`,
        { details: { ...place } },
      );
    }
    if (range.start === span.start && range.end === span.end) return span;
    this.count += 1;
    this.first ??= { ...place, shown };
    return { ...span, ...range };
  }

  /** One for all spans that were changed, at the place of the first. */
  warnings(): CorpusWarning[] {
    if (this.first === null) return [];
    const { file, line, shown } = this.first;
    const what = this.count === 1 ? 'an entity begins or ends' : `${this.count} entities begin or end`;
    const message = `${what} with characters that can't be seen or within one, the first is ${shown}; their edges are moved`;
    return [{ file, line, message }];
  }
}
