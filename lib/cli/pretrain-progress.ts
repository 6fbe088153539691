/** Draws the events of a pretraining run: bars for reading text and for steps, a line per evaluation. */

import type { PretrainingEvent, PretrainingListener } from '../pretraining/events.js';
import type { ProgressSink, ProgressTask } from '../progress.js';

const MEBIBYTE = 2 ** 20;

/** A bar over compressed bytes that opens at the first and closes at the last one. */
export function bytesProgress(sink: ProgressSink, name: string): (done: number, total: number) => void {
  let task: ProgressTask | null = null;
  return (done, total) => {
    task ??= sink.start({ name, total: Math.ceil(total / MEBIBYTE), unit: 'MiB' });
    task.update(Math.ceil(done / MEBIBYTE));
    if (done < total) return;
    task.done();
    task = null;
  };
}

export function pretrainingProgress(sink: ProgressSink): PretrainingListener {
  const readText = bytesProgress(sink, 'text');
  let task: ProgressTask | null = null;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const draw: { [T in PretrainingEvent['type']]: (event: Extract<PretrainingEvent, { type: T }>) => void } = {
    progress: ({ task: name, done, total }) => {
      if (name === 'text') return readText(done, total);
      task ??= sink.start({ name, total, unit: 'shards' });
      task.update(done);
      if (done < total) return;
      task.done();
      task = null;
    },
    data: ({ units, shards, heldOutUnits, unknownShare }) =>
      sink.message(
        `text: ${units} units in ${shards} shards, ${heldOutUnits} held out, ${percent(unknownShare)} unknown`,
      ),
    resume: ({ step }) => sink.message(`resumed after ${step} steps`),
    step: ({ step, steps, maskedLoss, unitsPerSecond }) => {
      task ??= sink.start({ name: 'pretraining', total: steps, unit: 'steps', from: step - 1 });
      task.update(step, { loss: maskedLoss.toFixed(3), 'units/s': Math.round(unitsPerSecond) });
    },
    report: () => {},
    evaluation: ({ step, maskedLoss, maskedAccuracy, orderAccuracy, improved }) =>
      sink.message(
        `step ${step}: held-out loss ${maskedLoss.toFixed(4)} nats, masked characters right ` +
          `${percent(maskedAccuracy)}, order right ${percent(orderAccuracy)}${improved ? ' (best)' : ''}`,
      ),
    stop: ({ reason }) => {
      task?.done();
      task = null;
      if (reason === 'stop-after') sink.message('stopped as asked; --resume goes on');
    },
  };
  return (event) => (draw[event.type] as (event: PretrainingEvent) => void)(event);
}
