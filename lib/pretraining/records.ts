/** What a pretraining run leaves beside its weights: TensorBoard events and a page with the curves. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../files.js';
import { type ChartPage, renderChartPage } from '../report/line-charts.js';
import { tensorBoardWriter } from '../report/tensorboard.js';
import type { PretrainingEvent, PretrainingFigures, PretrainingListener } from './events.js';

export function tensorBoardListener(folder: string): PretrainingListener {
  const writer = tensorBoardWriter(join(folder, 'tensorboard'));
  const scalars = (prefix: string, figures: PretrainingFigures) => ({
    [`${prefix}/masked_loss`]: figures.maskedLoss,
    [`${prefix}/masked_accuracy`]: figures.maskedAccuracy,
    [`${prefix}/order_loss`]: figures.orderLoss,
    [`${prefix}/order_accuracy`]: figures.orderAccuracy,
  });
  return (event) => {
    if (event.type === 'evaluation') writer.write(event.step, scalars('held_out', event));
    if (event.type !== 'report') return;
    writer.write(event.step, {
      ...scalars('train', event),
      'train/learning_rate': event.learningRate,
      'train/gradient_norm': event.gradientNorm,
      'train/units_per_second': event.unitsPerSecond,
    });
  };
}

/** The curves of a run over all its sittings, from its metrics.jsonl, into training/report.html. */
export async function writePretrainingPage(metrics: string, page: string): Promise<void> {
  const events = (await readFile(metrics, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as PretrainingEvent);
  await writeFileAtomic(page, renderChartPage(pretrainingPage(events)));
}

function pretrainingPage(events: readonly PretrainingEvent[]): ChartPage {
  const reports = lastOfStep(events.filter((event) => event.type === 'report'));
  const evaluations = lastOfStep(events.filter((event) => event.type === 'evaluation'));
  const x = [...new Set([...reports, ...evaluations].map(({ step }) => step))].sort((a, b) => a - b);
  const chart = (title: string, figure: keyof PretrainingFigures) => {
    const line = (name: string, points: readonly ({ step: number } & PretrainingFigures)[]) => {
      const byStep = new Map(points.map((point) => [point.step, point[figure]]));
      return { name, y: x.map((step) => byStep.get(step) ?? null) };
    };
    return { title, x, lines: [line('training', reports), line('held out', evaluations)] };
  };
  const last = evaluations.at(-1);
  const note = last
    ? `Step ${last.step}: held-out loss ${last.maskedLoss.toFixed(4)} nats, ` +
      `${(100 * last.maskedAccuracy).toFixed(2)} % of the masked characters right.`
    : 'Nothing was scored yet.';
  return {
    title: 'Pretraining',
    note,
    xName: 'step',
    charts: [
      chart('Masked characters: mean loss in nats', 'maskedLoss'),
      chart('Masked characters: share guessed right', 'maskedAccuracy'),
      chart('Order of two segments: mean loss in nats', 'orderLoss'),
      chart('Order of two segments: share guessed right', 'orderAccuracy'),
    ],
  };
}

/** A run that was killed and resumed has done some steps twice: the later ones count. */
function lastOfStep<T extends { step: number }>(points: readonly T[]): T[] {
  return [...new Map(points.map((point) => [point.step, point])).values()];
}
