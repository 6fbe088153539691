/** Connects an AbortSignal to the addon's cancel tokens and to ERR_ABORTED. */

import { AlbertNerError } from '../errors.js';
import type { NativeAddon, NativeCancelToken } from '../native/binding.js';

/** Throws ERR_ABORTED, with the signal's reason as its cause, when the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new AlbertNerError('ERR_ABORTED', 'The operation was aborted', { cause: signal.reason });
  }
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
  const cancel = () => token.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await call(token);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
