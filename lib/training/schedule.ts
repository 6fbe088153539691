/** The learning rate over a run: linear warm-up, constant, linear decay to zero. */

export interface Schedule {
  /** Steps of the whole run. */
  totalSteps: number;
  /** Share of the run spent warming up, in [0, 1]. */
  warmupRatio: number;
  decay: 'linear' | 'none';
}

/**
 * Factor on the base learning rate for a step counted from 0, in (0, 1]. The first step of a warm-up is 1/warmup,
 * not 0, and the last step of a decay is not 0: no step is wasted.
 */
export function learningRateFactor(step: number, { totalSteps, warmupRatio, decay }: Schedule): number {
  const warmupSteps = Math.round(totalSteps * warmupRatio);
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  if (decay === 'none') return 1;
  return Math.max(totalSteps - step, 1) / Math.max(totalSteps - warmupSteps, 1);
}

export interface Trapezoid {
  totalSteps: number;
  warmupSteps: number;
  /** Last steps of the run over which the rate falls to zero. */
  decaySteps: number;
}

/** Linear warm-up, constant, linear decay: factor on the base learning rate for a step counted from 0, in (0, 1]. */
export function trapezoidFactor(step: number, { totalSteps, warmupSteps, decaySteps }: Trapezoid): number {
  const rise = warmupSteps > 0 ? (step + 1) / warmupSteps : 1;
  const fall = decaySteps > 0 ? Math.max(totalSteps - step, 1) / decaySteps : 1;
  return Math.min(1, rise, fall);
}
