/**
 * Keeps the event loop responsive while JavaScript works through long input: call `pause` between pieces and it
 * gives other work a turn once its budget is used up.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';

/** Half of the 10 ms that a server can spare without its clients noticing. */
const DEFAULT_BUDGET_MS = 5;

export class TimeSlice {
  private readonly budgetMs: number;
  private startedMs = performance.now();

  constructor(budgetMs = DEFAULT_BUDGET_MS) {
    this.budgetMs = budgetMs;
  }

  /** Resolves at once while there is budget left, else after one turn of the event loop. */
  async pause(): Promise<void> {
    if (performance.now() - this.startedMs < this.budgetMs) return;
    await nextTurn();
    this.startedMs = performance.now();
  }
}
