/** metrics.jsonl: what a run tells, one line per event, appended as it happens. */

import { appendFileSync } from 'node:fs';

/** Steps, extraction, reading and its warnings are left out: they belong on the screen. */
const LEFT_OUT: ReadonlySet<string> = new Set(['step', 'extract', 'prepare', 'embeddings', 'warnings']);

/** A listener that appends to `file`; its folder must exist when the first event arrives. */
export function metricsWriter(file: string): (event: { type: string }) => void {
  return (event) => {
    if (LEFT_OUT.has(event.type)) return;
    appendFileSync(file, `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
  };
}
