/** metrics.jsonl: one line per epoch, evaluation, resume and stop of a run, appended as they happen. */

import { appendFileSync } from 'node:fs';
import type { TrainingEvent, TrainingListener } from './events.js';

/** Steps and extraction are left out: they belong on the screen. */
const RECORDED: ReadonlySet<TrainingEvent['type']> = new Set([
  'data',
  'epoch',
  'evaluation',
  'resume',
  'stop',
]);

/** A listener that appends to `file`; its folder must exist when the first event arrives. */
export function metricsWriter(file: string): TrainingListener {
  return (event) => {
    if (RECORDED.has(event.type)) {
      appendFileSync(file, `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
    }
  };
}
