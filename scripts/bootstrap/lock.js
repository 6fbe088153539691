// A lock between processes: a folder of claims, files that are named after their makers. Whoever finds no claim of
// another living process beside the own one has the lock.
//
// Invariants:
//   1. A claim is made before others are looked for. Of two processes that claim at once the later look therefore
//      finds the other's claim: both may go back and try again, but never both go on.
//   2. A name is used once. A dead process's claim can be removed by anyone at any time, however long ago it was
//      looked at: nothing of a living process is ever in its place.

import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './console.js';

const POLL_MS = 500;
const CLAIM = /^(\d+)-[0-9a-f]{16}$/;

/** Runs `body` while holding the lock at `path`; waits for a living owner, clears a dead one's claim away. */
export async function withLock(path, body) {
  const name = `${process.pid}-${randomBytes(8).toString('hex')}`;
  const release = () => withdraw(path, name);
  let told = false;
  process.on('exit', release);
  try {
    for (let owner = claim(path, name); owner !== null; owner = claim(path, name)) {
      if (!told) say(`Waiting for another set-up (process ${owner}) to finish`);
      told = true;
      // Not the same time for all: those that went back together must not meet again.
      await sleep(POLL_MS * (0.5 + Math.random()));
    }
    return await body();
  } finally {
    process.off('exit', release);
    release();
  }
}

/** Takes the lock (null), or leaves no claim and gives the number of a process that has one. */
function claim(path, name) {
  create(path, name);
  for (const other of readdirSync(path)) {
    const maker = CLAIM.exec(other)?.[1];
    if (maker === undefined || other === name) continue;
    if (isAlive(Number(maker))) {
      withdraw(path, name);
      return Number(maker);
    }
    rmSync(join(path, other), { force: true });
  }
  return null;
}

/** Makes the claim, and its folder, which another process may be taking away. */
function create(path, name) {
  for (;;) {
    mkdirSync(path, { recursive: true });
    try {
      closeSync(openSync(join(path, name), 'wx'));
      return;
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
}

function withdraw(path, name) {
  rmSync(join(path, name), { force: true });
  try {
    rmdirSync(path);
  } catch {
    // Others have claims in it, or have taken it away.
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
