/** The pair of files of the reference implementation: tokens in source.txt, tags in target.txt, a sentence a line. */

import { AlbertNerError } from '../errors.js';
import { trimInvisible } from '../text/visible.js';
import { pairFiles } from './detect.js';
import { readLines } from './read-lines.js';
import type { TaggedSentence } from './sentences.js';

/** `path`: the folder, or its source.txt. Blank lines must stand in both files and are skipped. */
export async function readPair(path: string): Promise<TaggedSentence[]> {
  const { source, target } = await pairFiles(path);
  const [tokenLines, tagLines] = await Promise.all([readLines(source), readLines(target)]);
  if (tokenLines.length !== tagLines.length) {
    throw mismatch(source, Math.min(tokenLines.length, tagLines.length) + 1, {
      message: `${source} has ${tokenLines.length} lines but ${target} has ${tagLines.length}`,
    });
  }
  const sentences: TaggedSentence[] = [];
  tokenLines.forEach((tokenLine, index) => {
    const tokens = splitColumns(tokenLine);
    const tags = splitColumns(tagLines[index]).map(trimInvisible);
    const line = index + 1;
    if (tokens.length !== tags.length) {
      throw mismatch(source, line, {
        message: `${source}:${line}: ${tokens.length} tokens but ${tags.length} tags in ${target}:${line}`,
      });
    }
    if (tokens.length > 0) sentences.push({ tokens, tags, file: source, lines: tokens.map(() => line) });
  });
  return sentences;
}

function mismatch(file: string, line: number, { message }: { message: string }): AlbertNerError {
  return new AlbertNerError('ERR_INVALID_DATA', message, { details: { file, line } });
}

/** At spaces and tabs only: other white space may be a token. */
function splitColumns(line: string): string[] {
  return line.split(/[ \t]+/).filter((column) => column !== '');
}
