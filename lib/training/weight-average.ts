/** The mean of the weights after the last steps of a run, which the session keeps beside them. */

import type { NativeSession, NativeTensorFile } from '../native/binding.js';
import type { CheckpointParts } from './checkpoint-file.js';

export class WeightAverage {
  private readonly session: NativeSession;
  private readonly firstStep: number;
  private count = 0;

  /** `ratio` of the `totalSteps` are averaged, the last ones; 0: none. */
  constructor(session: NativeSession, { totalSteps, ratio }: { totalSteps: number; ratio: number }) {
    this.session = session;
    this.firstStep = totalSteps - Math.round(totalSteps * ratio) + 1;
  }

  /** Steps after which the weights were taken in. */
  get steps(): number {
    return this.count;
  }

  /** Takes in the weights after this step of the run, counted from 1, if it is one of the last. */
  async add(step: number): Promise<void> {
    if (step < this.firstStep) return;
    await this.session.averageWeights();
    this.count += 1;
  }

  /**
   * Goes on with the mean of `steps` steps up to `step`. Begins anew where those aren't the first ones to be averaged:
   * the run was prolonged, or another share of it is wanted.
   */
  async restore(file: NativeTensorFile, { steps, step }: { steps: number; step: number }): Promise<void> {
    if (steps === 0 || steps !== step - this.firstStep + 1) return;
    await this.session.loadAverage(file);
    this.count = steps;
  }

  /** `work` with the mean in the weights' place, where there is one. */
  async use(work: () => Promise<void>): Promise<void> {
    if (this.count === 0) return work();
    await this.session.useAverage(true);
    try {
      await work();
    } finally {
      await this.session.useAverage(false);
    }
  }

  /** For the checkpoint. */
  async tensors(): Promise<CheckpointParts> {
    return this.count === 0 ? {} : { average: await this.session.exportTensors('average') };
  }
}
