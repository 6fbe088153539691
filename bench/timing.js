// How ours is timed; peers/serve.py times the peers by the same rule.

import { loadNative } from '../dist/lib/native/load.js';

export const median = (values) => Array.from(values).sort((a, b) => a - b)[Math.floor(values.length / 2)];

/**
 * Seconds of one call: the median of as many as take `least` seconds, after one that warms up. `timeCalls(count)` gives
 * the seconds of each.
 */
async function typicalSeconds(timeCalls, least) {
  const [first] = await timeCalls(1);
  const calls = Math.min(Math.max(Math.ceil(least / first), 1), 1000);
  return median(await timeCalls(calls));
}

/**
 * An operator and, with gradients of its outputs, its backward pass. Timed in native code: arguments are tensors already,
 * as the peer's are.
 */
export function timeOp(name, args, gradOutputs, threads) {
  const timeCalls = (calls) => loadNative()._timeOp(name, args, gradOutputs, { threads, calls });
  return (least) => typicalSeconds(timeCalls, least);
}

/** An asynchronous call, as JavaScript sees it. */
export function timeAsync(run) {
  const timeCalls = async (calls) => {
    const seconds = [];
    for (let call = 0; call < calls; call += 1) {
      const start = performance.now();
      await run();
      seconds.push((performance.now() - start) / 1000);
    }
    return seconds;
  };
  return (least) => typicalSeconds(timeCalls, least);
}
