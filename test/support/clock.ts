/** Time as tests need it: a clock that stands still, and turns of the event loop. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';

export interface StoppedClock {
  passes: (ms: number) => void;
}

/** Puts a clock into performance.now's place that only goes when it is told to; for tests that run alone. */
export function stoppedClock(t: ExecutionContext): StoppedClock {
  const original = performance.now;
  let now = 0;
  performance.now = () => now;
  t.teardown(() => {
    performance.now = original;
  });
  return {
    passes: (ms) => {
      now += ms;
    },
  };
}

/** Counts the turns of the event loop until `work` settles. */
export async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let next = setImmediate(function turn() {
    turns += 1;
    next = setImmediate(turn);
  });
  await work;
  clearImmediate(next);
  return turns;
}

/** Lets the event loop turn until something has happened; a test in which it never does is ended by ava. */
export async function until(happened: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await happened())) await nextTurn();
}
