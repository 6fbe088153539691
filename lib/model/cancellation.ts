/** Connects an AbortSignal to the addon's cancel tokens and to ERR_ABORTED. */

import { AlbertNerError } from '../errors.js';
import type { NativeAddon, NativeCancelToken } from '../native/binding.js';
import { invalidArgument } from '../validate.js';

/** Judged by what it can do: a signal of another realm, such as a test runner's, is no instance of our AbortSignal. */
function isSignal(value: unknown): value is AbortSignal {
  const { aborted, addEventListener } = Object(value) as Partial<AbortSignal>;
  return typeof aborted === 'boolean' && typeof addEventListener === 'function';
}

/** Throws ERR_ABORTED, with the signal's reason as its cause, when the signal is aborted; ERR_INVALID_ARGUMENT if it is none. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  if (!isSignal(signal)) throw invalidArgument('signal', 'an AbortSignal', signal);
  if (signal.aborted) {
    throw new AlbertNerError('ERR_ABORTED', 'The operation was aborted', { cause: signal.reason });
  }
}

/**
 * What to call when a signal aborts. One listener serves all calls that share a signal: Node takes more than ten for a leak and
 * warns.
 */
const watchers = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `listener` once when the signal aborts, unless the returned function is called before. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let listeners = watchers.get(signal);
  if (listeners === undefined) {
    const all = new Set<() => void>();
    listeners = all;
    watchers.set(signal, all);
    signal.addEventListener('abort', () => notify(signal), { once: true });
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

function notify(signal: AbortSignal): void {
  const listeners = watchers.get(signal) ?? [];
  watchers.delete(signal);
  for (const listener of listeners) listener();
}

/**
 * Runs `call` with a token that is cancelled when the signal aborts. Rejects with ERR_ABORTED before calling when
 * the signal is aborted already.
 */
export async function withCancelToken<T>(
  addon: NativeAddon,
  signal: AbortSignal | undefined,
  call: (token: NativeCancelToken | undefined) => Promise<T>,
): Promise<T> {
  throwIfAborted(signal);
  if (!signal) return call(undefined);
  const token = new addon.CancelToken();
  const forget = onAbort(signal, () => token.cancel());
  try {
    return await call(token);
  } finally {
    forget();
  }
}
