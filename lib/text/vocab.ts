/**
 * A vocabulary: one token a line, the id is the line number from 0. The file is split at '\n' only, since published
 * vocabularies hold other line separators (U+2028) as tokens.
 */

import { readFile } from 'node:fs/promises';
import { AlbertNerError } from '../errors.js';
import { isLfsPointer, LFS_REMEDY } from '../files.js';

const MAX_LINES = 1_000_000;
const REQUIRED = ['[PAD]', '[UNK]', '[CLS]', '[SEP]'] as const;

export class Vocab {
  readonly padId: number;
  readonly unkId: number;
  readonly clsId: number;
  readonly sepId: number;
  /** -1 when the vocabulary has no [MASK]. */
  readonly maskId: number;
  private readonly tokens: readonly string[];
  private readonly ids: ReadonlyMap<string, number>;

  private constructor(tokens: readonly string[], ids: ReadonlyMap<string, number>) {
    this.tokens = tokens;
    this.ids = ids;
    [this.padId, this.unkId, this.clsId, this.sepId] = REQUIRED.map((token) => ids.get(token) as number);
    this.maskId = ids.get('[MASK]') ?? -1;
  }

  /** Rejects as `parse` does; ERR_MODEL_NOT_FOUND when the file can't be opened. */
  static async read(file: string): Promise<Vocab> {
    let bytes: Uint8Array;
    try {
      bytes = await readFile(file);
    } catch (cause) {
      throw new AlbertNerError(
        'ERR_MODEL_NOT_FOUND',
        `Can't read the vocabulary ${file}: ${(cause as Error).message}`,
        {
          details: { file },
          cause,
        },
      );
    }
    return Vocab.parse(bytes, file);
  }

  /**
   * Throws ERR_CHECKPOINT_UNREADABLE with file and line: not UTF-8, a duplicate, a special token missing, more than
   * a million lines. A byte order mark and the '\r' of CRLF line ends are dropped.
   */
  static parse(bytes: Uint8Array, file = 'vocabulary'): Vocab {
    if (isLfsPointer(bytes)) throw unreadable(file, LFS_REMEDY);
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
      throw unreadable(file, 'it is not UTF-8', {}, cause);
    }
    const lines = text.split('\n');
    if (lines.at(-1) === '') lines.pop();
    if (lines.length > MAX_LINES)
      throw unreadable(file, `it has ${lines.length} lines, more than ${MAX_LINES}`);
    const tokens = lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
    const ids = new Map<string, number>();
    tokens.forEach((token, id) => {
      const earlier = ids.get(token);
      if (earlier !== undefined) {
        throw unreadable(file, `line ${id + 1} repeats line ${earlier + 1}, ${JSON.stringify(token)}`, {
          line: id + 1,
        });
      }
      ids.set(token, id);
    });
    for (const token of REQUIRED) {
      if (!ids.has(token)) throw unreadable(file, `it has no ${token}`, { token });
    }
    return new Vocab(tokens, ids);
  }

  /** The lowest id above those of the special tokens. */
  get firstOrdinaryId(): number {
    return Math.max(this.padId, this.unkId, this.clsId, this.sepId, this.maskId) + 1;
  }

  get size(): number {
    return this.tokens.length;
  }

  idOf(token: string): number | undefined {
    return this.ids.get(token);
  }

  token(id: number): string {
    return this.tokens[id];
  }

  /** The file's text, with '\n' line ends. */
  serialize(): string {
    return `${this.tokens.join('\n')}\n`;
  }
}

function unreadable(
  file: string,
  why: string,
  details: Record<string, unknown> = {},
  cause?: unknown,
): AlbertNerError {
  const reason = 'E_VOCAB';
  return new AlbertNerError('ERR_CHECKPOINT_UNREADABLE', `Can't use the vocabulary ${file}: ${why}`, {
    details: { file, reason, ...details },
    cause,
  });
}
