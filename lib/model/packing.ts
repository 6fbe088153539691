/**
 * From texts to one packed request of the addon, and from its result back to entities with character offsets.
 *
 * A line of a text is one CRF sequence. A line longer than the encoder's window is covered by overlapping windows;
 * only the core of each window is kept, so the CRF still sees every unit of the line exactly once and nothing is
 * cut. No native call happens here.
 */

import type { NativeTagRequest, NativeTagResult } from '../native/binding.js';
import type { Tokenizer, Units } from '../text/tokenizer.js';
import { lines, planWindows, type Window } from '../text/windows.js';
import type { TimeSlice } from './time-slice.js';

/** How a model cuts text; part of its description, so that prediction repeats what training did. */
export interface TextOptions {
  /** Units per encoder window, without [CLS] and [SEP]. */
  maxUnits: number;
  /** Units of context on each side of a window's core where a line has to be cut. */
  margin: number;
}

export interface TokenizedLine {
  units: Units;
  windows: Window[];
}

/** A text as the encoder sees it; lines without units are left out. */
export interface TokenizedText {
  text: string;
  lines: TokenizedLine[];
  windowCount: number;
  unitCount: number;
}

/** One entity; `text === input.slice(start, end)`, offsets in UTF-16 code units. */
export interface Entity {
  text: string;
  label: string;
  start: number;
  end: number;
  /** Posterior probability that exactly this span with this label is on the CRF's path, in [0, 1]. */
  score: number;
}

export interface Prediction {
  /** In text order, not overlapping. */
  entities: Entity[];
  /** Encoder windows the text took; more than the number of its lines when a line had to be cut. */
  windows: number;
}

/** 16,384 code units tokenise in about a millisecond, well inside one slice. */
const CODE_UNITS_PER_STEP = 16_384;

/** Tokenises a text line by line without holding up the event loop. Linear in its length. */
export async function tokenizeText(
  text: string,
  tokenizer: Tokenizer,
  options: TextOptions,
  slice: TimeSlice,
): Promise<TokenizedText> {
  const tokenized: TokenizedText = { text, lines: [], windowCount: 0, unitCount: 0 };
  for (const { start, end } of lines(text)) {
    const run = tokenizer.begin(text, start, end);
    while (!run.step(CODE_UNITS_PER_STEP)) await slice.pause();
    const units = run.units();
    if (units.length > 0) {
      const windows = planWindows(text, units, options);
      tokenized.lines.push({ units, windows });
      tokenized.windowCount += windows.length;
      tokenized.unitCount += units.length;
    }
    await slice.pause();
  }
  return tokenized;
}

/** Packs the windows of all texts, in order, into one request. */
export function packTexts(texts: readonly TokenizedText[]): NativeTagRequest {
  const allLines = texts.flatMap((text) => text.lines);
  const windowCount = allLines.reduce((sum, line) => sum + line.windows.length, 0);
  const rowCount = allLines.reduce(
    (sum, line) => line.windows.reduce((rows, window) => rows + window.end - window.start, sum),
    0,
  );
  const ids = new Int32Array(rowCount); // [N]
  const offsets = new Int32Array(windowCount + 1); // [B+1]
  const keep = new Int32Array(windowCount * 2); // [B*2]
  const sequenceOffsets = new Int32Array(allLines.length + 1); // [S+1]
  let row = 0;
  let window = 0;
  allLines.forEach((line, sequence) => {
    for (const { start, end, keepStart, keepEnd } of line.windows) {
      ids.set(line.units.ids.subarray(start, end), row);
      row += end - start;
      keep[2 * window] = keepStart - start;
      keep[2 * window + 1] = keepEnd - keepStart;
      window += 1;
      offsets[window] = row;
    }
    sequenceOffsets[sequence + 1] = sequenceOffsets[sequence] + line.units.length;
  });
  return { ids, offsets, keep, sequenceOffsets };
}

export interface UnpackOptions {
  /** Label names by the index the addon uses. */
  labels: readonly string[];
  /** Entities with a lower score are left out. */
  minScore: number;
}

/** Turns the result for `packTexts(texts)` into one prediction per text, in order. */
export function unpackPredictions(
  texts: readonly TokenizedText[],
  result: NativeTagResult,
  { labels, minScore }: UnpackOptions,
): Prediction[] {
  const predictions: Prediction[] = texts.map((text) => ({ entities: [], windows: text.windowCount }));
  const places = texts.flatMap((text, index) =>
    text.lines.map(({ units }) => ({ text: text.text, index, units })),
  );
  const { spans, spanScores } = result;
  for (let span = 0; span < spanScores.length; span += 1) {
    const score = spanScores[span];
    if (score < minScore) continue;
    const { text, index, units } = places[spans[4 * span]];
    const start = units.starts[spans[4 * span + 1]];
    const end = units.ends[spans[4 * span + 2] - 1];
    const label = labels[spans[4 * span + 3]];
    predictions[index].entities.push({ text: text.slice(start, end), label, start, end, score });
  }
  return predictions;
}
