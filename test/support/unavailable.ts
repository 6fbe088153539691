/** Tests that can't run on this machine say so here: they are counted as "not run", not as passed. */

import type { ExecutionContext } from 'ava';

/**
 * Ends a test that lacks something on this machine; the caller returns. `why` goes to the end of scripts/run-tests.js's
 * output, which knows such tests by this line of their log. What the CI may lack is listed in .ci/may-not-run.json.
 */
export function unavailable(t: ExecutionContext, why: string): void {
  t.log(`NOT RUN: ${why}`);
  t.pass();
}
