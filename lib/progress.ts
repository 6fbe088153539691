/**
 * Progress of long work, drawn on standard error: a bar on a terminal, a line every few seconds elsewhere, nothing when
 * quiet. Producers only know the sink.
 */

import { type Options, SingleBar } from 'cli-progress';

export interface ProgressTask {
  /** How much of the total is done, and named figures to show beside it. */
  update(done: number, fields?: Readonly<Record<string, string | number>>): void;
  /** Ends the task; idempotent. */
  done(): void;
}

export interface TaskDescription {
  name: string;
  total: number;
  unit: string;
  /** How much of it an earlier run did: no measure of this one's speed. Default 0. */
  from?: number;
}

export interface ProgressSink {
  /** At most one task is open at a time. */
  start(task: TaskDescription): ProgressTask;
  /** A line of text, above the bar where there is one. */
  message(line: string): void;
}

const LINE_INTERVAL_MS = 3000;
const BAR_FPS = 10;

/** Bars when the stream is a terminal, lines otherwise. */
export function createProgress(stream: NodeJS.WriteStream, { quiet }: { quiet: boolean }): ProgressSink {
  if (quiet) return silentProgress;
  return stream.isTTY ? barProgress(stream) : lineProgress(stream);
}

export const silentProgress: ProgressSink = {
  start: () => ({ update() {}, done() {} }),
  message() {},
};

function fieldsText(fields: Readonly<Record<string, string | number>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${value}`)
    .join('  ');
}

/** Seconds as m:ss. */
function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** The time left, from how much is done, at the mean speed since now. */
function estimateLeft({ total, from = 0 }: TaskDescription): (done: number) => string {
  const startedMs = performance.now();
  return (done) => {
    if (done <= from) return '-:--';
    const elapsed = (performance.now() - startedMs) / 1000;
    return clock((elapsed * (total - done)) / (done - from));
  };
}

function barProgress(stream: NodeJS.WriteStream): ProgressSink {
  let open: SingleBar | null = null;
  return {
    start(task) {
      const { name, total, unit, from = 0 } = task;
      const left = estimateLeft(task);
      const options: Options = {
        stream,
        format: `${name} [{bar}] {value}/{total} ${unit}  {fields}ETA {clock}`,
        fps: BAR_FPS,
        hideCursor: true,
        clearOnComplete: false,
        gracefulExit: false,
      };
      const bar = new SingleBar(options);
      bar.start(total, from, { fields: '', clock: '-:--' });
      open = bar;
      return {
        update(done, fields = {}) {
          const text = fieldsText(fields);
          bar.update(done, { fields: text === '' ? '' : `${text}  `, clock: left(done) });
        },
        done() {
          bar.stop();
          if (open === bar) open = null;
        },
      };
    },
    message(line) {
      // The bar redraws itself on the next line at its next frame.
      if (open) stream.write('\r\x1b[K');
      stream.write(`${line}\n`);
    },
  };
}

function lineProgress(stream: NodeJS.WriteStream): ProgressSink {
  return {
    start(task) {
      const { name, total, unit, from = 0 } = task;
      const left = estimateLeft(task);
      let shownMs = performance.now();
      let shown = from;
      let latest = { done: from, text: '' };
      const show = () => {
        const text = latest.text === '' ? '' : `  ${latest.text}`;
        stream.write(`${name}: ${latest.done}/${total} ${unit}${text}  ETA ${left(latest.done)}\n`);
        shown = latest.done;
        shownMs = performance.now();
      };
      return {
        update(done, fields = {}) {
          latest = { done, text: fieldsText(fields) };
          if (performance.now() - shownMs >= LINE_INTERVAL_MS) show();
        },
        done() {
          if (latest.done > shown) show();
        },
      };
    },
    message: (line) => stream.write(`${line}\n`),
  };
}
