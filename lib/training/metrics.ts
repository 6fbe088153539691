/** metrics.jsonl: what a run tells, one line per event, appended as it happens. */

import { appendFileSync } from 'node:fs';
import type { PretrainingEvent } from '../pretraining/events.js';
import type { TrainingEvent } from './events.js';

type RunEvent = TrainingEvent | PretrainingEvent;

/** What the file holds of each type of event; the others belong on the screen. A new type has to be entered here. */
const IS_RECORDED: Readonly<Record<RunEvent['type'], boolean>> = {
  warnings: false,
  data: true,
  progress: false,
  resume: true,
  step: false,
  epoch: true,
  report: true,
  evaluation: true,
  stop: true,
};

/** A listener that appends to `file`; its folder must exist when the first event arrives. */
export function metricsWriter(file: string): (event: RunEvent) => void {
  return (event) => {
    if (!IS_RECORDED[event.type]) return;
    appendFileSync(file, `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
  };
}
