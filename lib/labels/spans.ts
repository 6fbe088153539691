/** Spans of entities, and their way from and to tags. */

import { AlbertNerError } from '../errors.js';
import { type ParsedTag, parseTag, type TagSet } from './scheme.js';

/** An entity in some unit of counting; `end` is exclusive. */
export interface Span {
  start: number;
  end: number;
  label: string;
}

/** A tag that can't stand where it does. */
export interface IllegalTag {
  position: number;
  tag: string;
  reason: string;
}

export interface DecodedTags {
  spans: Span[];
  illegal: IllegalTag[];
}

export interface DecodeOptions {
  /**
   * In IOB1 an entity starts with an inside tag, and a begin tag only parts it from one of the same label. In IOE1 and IOE2, where
   * an end tag parts it from the next one or ends each, it starts with either.
   */
  startsInside?: boolean;
}

/**
 * Spans of a tag sequence in any mixture of BIO, BIOES and BMES. An inside or end tag that continues nothing is
 * ignored, as the reference metrics do, and reported; an entity that BIOES leaves without an end ends where its tags do.
 * Every tag must parse.
 */
export function decodeTags(
  tags: readonly string[],
  { startsInside = false }: DecodeOptions = {},
): DecodedTags {
  const spans: Span[] = [];
  const illegal: IllegalTag[] = [];
  let open: Span | null = null;
  tags.forEach((tag, position) => {
    const { role, label } = parseTag(tag) as ParsedTag;
    if (role === 'outside' || label === null) {
      open = null;
      return;
    }
    const continues = open !== null && open.label === label && (role === 'inside' || role === 'end');
    if (continues) {
      (open as Span).end = position + 1;
    } else if (role === 'begin' || role === 'single' || startsInside) {
      open = { start: position, end: position + 1, label };
      spans.push(open);
    } else {
      illegal.push({ position, tag, reason: `no entity ${label} to continue` });
      open = null;
    }
    if (role === 'single' || role === 'end') open = null;
  });
  return { spans, illegal };
}

/** Tag indexes [length] of spans that don't overlap. Throws ERR_INVALID_DATA when they do or leave the range. */
export function encodeSpans(spans: readonly Span[], length: number, tagSet: TagSet): Int32Array {
  const tags = new Int32Array(length).fill(tagSet.outside);
  for (const { start, end, label } of spans) {
    const taken = tags.subarray(start, end).some((tag) => tag !== tagSet.outside);
    if (start < 0 || end > length || start >= end || taken) {
      throw new AlbertNerError(
        'ERR_INVALID_DATA',
        `Entity ${label} at ${start}-${end} overlaps another or is out of range`,
        {
          details: { start, end, label },
        },
      );
    }
    if (tagSet.scheme === 'BIOES' && end - start === 1) {
      tags[start] = tagSet.indexOf('single', label);
      continue;
    }
    tags[start] = tagSet.indexOf('begin', label);
    tags.fill(tagSet.indexOf('inside', label), start + 1, end);
    if (tagSet.scheme === 'BIOES') tags[end - 1] = tagSet.indexOf('end', label);
  }
  return tags;
}
