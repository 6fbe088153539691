// A lock between processes: a folder, which only one can make, with the owner's number in it.

import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './console.js';

const POLL_MS = 500;
/** A lock without an owner's number is being made; older than this its maker died. */
const UNOWNED_MS = 10_000;

/** Runs `body` while holding the lock at `path`; waits for a living owner, clears a dead one's lock away. */
export async function withLock(path, body) {
  mkdirSync(dirname(path), { recursive: true });
  let told = false;
  while (!acquire(path)) {
    const owner = ownerOf(path);
    if (owner === 'gone') continue;
    if (owner === 'dead') {
      rmSync(path, { recursive: true, force: true });
      continue;
    }
    if (!told) say(`Waiting for another set-up (process ${owner}) to finish`);
    told = true;
    await sleep(POLL_MS);
  }
  const release = () => rmSync(path, { recursive: true, force: true });
  process.on('exit', release);
  try {
    return await body();
  } finally {
    process.off('exit', release);
    release();
  }
}

function acquire(path) {
  try {
    mkdirSync(path);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(join(path, 'owner'), String(process.pid));
  return true;
}

/** The owner's process number, 'dead' when it no longer runs, 'gone' when the lock was released meanwhile. */
function ownerOf(path) {
  let age;
  try {
    age = Date.now() - statSync(path).mtimeMs;
  } catch {
    return 'gone';
  }
  let owner;
  try {
    owner = Number(readFileSync(join(path, 'owner'), 'utf8'));
  } catch {
    return age > UNOWNED_MS ? 'dead' : 'unknown';
  }
  try {
    process.kill(owner, 0);
    return owner;
  } catch (error) {
    return error.code === 'EPERM' ? owner : 'dead';
  }
}
