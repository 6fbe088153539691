/**
 * hold-lock LOCK FOLDER [pause]: holds the set-up's lock until FOLDER has a file "leave". Says "inside", or "overlap" if
 * another is inside too. With `pause` it says "clearing" before the first file it removes, and goes on when FOLDER has a
 * file "go".
 */

import fs, { closeSync, existsSync, openSync, unlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { repoRoot } from '../../support/paths.js';

const [lock, folder, pause] = process.argv.slice(2);
const inside = join(folder, 'inside');

/** Waits without letting anything else of this process run. */
function blockUntil(file: string): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(join(folder, file))) Atomics.wait(never, 0, 0, 10);
}

function pauseBeforeRemoval(): void {
  let paused = false;
  const names = ['rmSync', 'unlinkSync', 'renameSync'] as const;
  const removals = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of names) {
    const original = removals[name];
    removals[name] = (...args) => {
      if (!paused) {
        paused = true;
        console.log('clearing');
        blockUntil('go');
      }
      return original(...args);
    };
  }
  syncBuiltinESMExports();
}

if (pause) pauseBeforeRemoval();
const { withLock } = await import(pathToFileURL(join(repoRoot, 'scripts', 'bootstrap', 'lock.js')).href);
await withLock(lock, async () => {
  try {
    closeSync(openSync(inside, 'wx'));
    console.log('inside');
  } catch {
    console.log('overlap');
  }
  while (!existsSync(join(folder, 'leave'))) await sleep(10);
  if (existsSync(inside)) unlinkSync(inside);
});
