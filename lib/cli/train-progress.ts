/** Draws the events of a training run: a bar for extraction, one per epoch, a line per evaluation. */

import type { CorpusWarning } from '../data/sentences.js';
import type { ProgressSink, ProgressTask } from '../progress.js';
import type { TrainingEvent, TrainingListener } from '../training/events.js';

const SHOWN_WARNINGS = 10;
const UNITS = { text: 'bytes', 'n-grams': 'shards', features: 'sequences' } as const;

/** The first warnings of a corpus, and how many more there are. */
export function showWarnings(sink: ProgressSink, warnings: readonly CorpusWarning[]): void {
  for (const { file, line, message } of warnings.slice(0, SHOWN_WARNINGS))
    sink.message(`warning ${file}:${line}: ${message}`);
  const rest = warnings.length - SHOWN_WARNINGS;
  if (rest > 0) sink.message(`and ${rest} more warnings`);
}

export function trainingProgress(sink: ProgressSink): TrainingListener {
  let task: ProgressTask | null = null;
  const close = () => {
    task?.done();
    task = null;
  };
  const show = (bar: { name: string; total: number; unit: string }, done: number) => {
    task ??= sink.start(bar);
    task.update(done);
    if (done === bar.total) close();
  };
  const draw: { [T in TrainingEvent['type']]: (event: Extract<TrainingEvent, { type: T }>) => void } = {
    warnings: ({ warnings }) => showWarnings(sink, warnings),
    data: ({ corpora, overlap, sequences, labels }) => {
      for (const { name, train, dev } of corpora) {
        sink.message(`${name}: ${train} sentences to train on, ${dev} dev`);
      }
      if (overlap > 0)
        sink.message(
          `left out ${overlap} training sentences that stand in another dev part or an earlier corpus`,
        );
      sink.message(`${sequences} sequences an epoch, labels: ${labels.join(' ')}`);
    },
    resume: ({ epoch, step }) => sink.message(`resumed after ${epoch} epochs and ${step} steps`),
    progress: ({ task: name, done, total }) => show({ name, total, unit: UNITS[name] }, done),
    step: ({ epoch, epochs, step, steps, loss, sentencesPerSecond }) => {
      task ??= sink.start({ name: `epoch ${epoch}/${epochs}`, total: steps, unit: 'steps', from: step - 1 });
      task.update(step, { loss: loss.toFixed(4), 'sentences/s': Math.round(sentencesPerSecond) });
      if (step === steps) close();
    },
    epoch: ({ epoch, loss, seconds }) =>
      sink.message(`epoch ${epoch}: loss ${loss.toFixed(4)} nats per character, ${seconds.toFixed(1)} s`),
    evaluation: ({ corpus, report, improved }) => {
      const { precision, recall, f1 } = report.micro;
      const percent = (value: number) => (100 * value).toFixed(2);
      sink.message(
        `  ${corpus}: precision ${percent(precision)} recall ${percent(recall)} F1 ${percent(f1)}${improved ? ' (best)' : ''}`,
      );
    },
    stop: ({ reason }) => {
      close();
      const why = {
        finished: '',
        patience: 'stopped early: no gain on dev',
        'stop-after': 'stopped as asked; --resume goes on',
      };
      if (why[reason]) sink.message(why[reason]);
    },
  };
  return (event) => (draw[event.type] as (event: TrainingEvent) => void)(event);
}
