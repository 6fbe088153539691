import test from 'ava';
import fc from 'fast-check';
import { type Ballot, voteSpans } from '../../lib/training/vote.js';

const THRESHOLDS = { accept: 0.45, doubt: 0.3 };

const ballot = (weight: number, ...spans: [number, number, string, number][]): Ballot => ({
  weight,
  spans: spans.map(([start, end, label, score]) => ({ start, end, label, score })),
});

test('takes what most voters found and says when something was left out', (t) => {
  const both = voteSpans(
    [ballot(0.5, [0, 2, 'PER', 0.9], [5, 7, 'LOC', 0.5]), ballot(0.5, [0, 2, 'PER', 0.8])],
    THRESHOLDS,
  );
  t.deepEqual(both, { spans: [{ start: 0, end: 2, label: 'PER' }], sure: true });
  const torn = voteSpans([ballot(0.5, [5, 7, 'LOC', 0.8]), ballot(0.5)], THRESHOLDS);
  t.deepEqual(torn, { spans: [], sure: false });
});

test('of overlapping candidates the one with the most votes stands', (t) => {
  const { spans, sure } = voteSpans(
    [ballot(0.5, [4, 8, 'ORG', 1]), ballot(0.5, [4, 6, 'LOC', 0.98]), ballot(0.2, [4, 8, 'ORG', 1])],
    THRESHOLDS,
  );
  t.deepEqual(spans, [{ start: 4, end: 8, label: 'ORG' }]);
  t.false(sure);
});

test('the order of the ballots is no matter, and nothing overlaps', (t) => {
  const span = fc.record({
    start: fc.integer({ min: 0, max: 12 }),
    length: fc.integer({ min: 1, max: 5 }),
    label: fc.constantFrom('PER', 'LOC', 'ORG'),
    score: fc.integer({ min: 0, max: 10 }).map((tenths) => tenths / 10),
  });
  const ballots = fc.array(fc.array(span, { maxLength: 6 }), { minLength: 1, maxLength: 4 }).map((lists) =>
    lists.map((spans) => ({
      weight: 1 / 3,
      spans: spans.map(({ start, length, ...rest }) => ({ ...rest, start, end: start + length })),
    })),
  );
  fc.assert(
    fc.property(ballots, (all) => {
      const result = voteSpans(all, THRESHOLDS);
      t.deepEqual(voteSpans(all.toReversed(), THRESHOLDS), result);
      return result.spans.every(({ start }, k) => k === 0 || result.spans[k - 1].end <= start);
    }),
    { numRuns: 200, seed: 3 },
  );
});
