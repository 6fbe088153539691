/** Argument errors in the one message form of the library. */

import { AlbertNerError } from './errors.js';

/** "Expected `expected` for `name` but received …", ERR_INVALID_ARGUMENT, with the name in details.option. */
export function invalidArgument(name: string, expected: string, received: unknown): AlbertNerError {
  return new AlbertNerError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${expected} for ${name} but received ${describeValue(received)}`,
    { details: { option: name } },
  );
}

/** A value as a message shows it: strings quoted and cut at 60 characters, objects by kind. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'function') return 'a function';
  return value === null || typeof value !== 'object' ? String(value) : 'an object';
}

/** The known name closest to `name` by edit distance, if it is close enough to be a slip. */
export function closestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Optimal string alignment distance: a swap of neighbours counts as one slip. */
function editDistance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) =>
    Array.from({ length: b.length + 1 }, (_, j) => i || j),
  );
  for (let i = 1; i <= a.length; i += 1) {
    for (let j = 1; j <= b.length; j += 1) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.length][b.length];
}
