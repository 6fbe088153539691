/** The evaluation table: seqeval's columns and rows, with the counts behind them. */

import stringWidth from 'string-width';
import type { EntityReport, Scores } from './entity-f1.js';

const COLUMNS = ['precision', 'recall', 'f1-score', 'support', 'predicted', 'correct'] as const;
const COLUMN_WIDTH = 11;
const NO_GOLD = ' (no gold)';

/** Text table, four decimals; a label without gold entities is marked. */
export function formatReport(report: EntityReport): string {
  const labels = Object.keys(report.types).sort();
  const name = (label: string) => label + (report.types[label].support === 0 ? NO_GOLD : '');
  const width = labels.reduce((widest, label) => Math.max(widest, stringWidth(name(label))), 12);
  const averages: [string, Scores][] = [
    ['micro avg', report.micro],
    ['macro avg', report.macro],
    ['weighted avg', report.weighted],
  ];
  return [
    `${' '.repeat(width)}${COLUMNS.map((column) => column.padStart(COLUMN_WIDTH)).join('')}`,
    '',
    ...labels.map((label) => row(name(label), report.types[label], width)),
    '',
    ...averages.map(([average, scores]) => row(average, scores, width)),
    '',
    `strict spans, ${report.sentences} sentences`,
  ].join('\n');
}

function row(name: string, scores: Scores, width: number): string {
  const { precision, recall, f1, support, predicted, correct } = scores;
  const cells = [...[precision, recall, f1].map((value) => value.toFixed(4)), support, predicted, correct];
  return (
    ' '.repeat(width - stringWidth(name)) +
    name +
    cells.map((cell) => String(cell).padStart(COLUMN_WIDTH)).join('')
  );
}
