/** Tables of the command line; columns line up for Chinese text, too. */

import CliTable from 'cli-table3';
import type { Entity } from '../model/packing.js';

export function entityTable(entities: readonly Entity[]): string {
  const table = new CliTable({
    head: ['text', 'label', 'start', 'end', 'score'],
    colAligns: ['left', 'left', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  for (const { text, label, start, end, score } of entities) {
    // A line break inside an entity would break the table.
    table.push([text.replace(/\s+/g, ' '), label, start, end, score.toFixed(4)]);
  }
  return table.toString();
}
