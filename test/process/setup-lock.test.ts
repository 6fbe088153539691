import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { childProgram } from '../support/child.js';
import { temporaryFolder } from '../support/paths.js';

const WAITING = /Waiting for another set-up \(process (\d+)\)/;

interface Holder {
  child: ChildProcess;
  /** Everything it said so far. */
  said: () => string;
  /** Resolves when it has said something that matches. */
  says: (pattern: RegExp) => Promise<void>;
  exited: Promise<unknown[]>;
}

/** Starts hold-lock.js. */
function hold(t: ExecutionContext, folder: string, ...options: string[]): Holder {
  const child = spawn(process.execPath, [
    childProgram('hold-lock'),
    join(folder, 'lock'),
    folder,
    ...options,
  ]);
  t.teardown(() => child.kill('SIGKILL'));
  let text = '';
  const collect = (data: Buffer) => {
    text += data;
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const exited = once(child, 'close');
  const says = async (pattern: RegExp) => {
    while (!pattern.test(text)) {
      if (child.exitCode !== null) throw new Error(`It ended without saying ${pattern}: ${text}`);
      await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), exited]);
    }
  };
  return { child, said: () => text, says, exited };
}

const create = (folder: string, name: string) => writeFile(join(folder, name), '');

/** The lock of a process that was killed while it held it. */
async function leaveDeadLock(t: ExecutionContext, folder: string): Promise<void> {
  const dead = hold(t, folder);
  await dead.says(/inside/);
  dead.child.kill('SIGKILL');
  await dead.exited;
  await rm(join(folder, 'inside'));
}

test('a lock is held by one process, and the next says whom it waits for', async (t) => {
  const folder = await temporaryFolder(t);
  const first = hold(t, folder);
  await first.says(/inside/);
  const second = hold(t, folder);
  await second.says(WAITING);
  t.is(WAITING.exec(second.said())?.[1], String(first.child.pid));
  await create(folder, 'leave');
  t.deepEqual(await first.exited, [0, null]);
  t.deepEqual(await second.exited, [0, null]);
  t.regex(second.said(), /inside/);
  t.false(existsSync(join(folder, 'lock')));
});

test('the lock of a process that was killed is taken over', async (t) => {
  const folder = await temporaryFolder(t);
  await leaveDeadLock(t, folder);
  const next = hold(t, folder);
  await next.says(/inside/);
  t.notRegex(next.said(), WAITING);
  await create(folder, 'leave');
  t.deepEqual(await next.exited, [0, null]);
  t.false(existsSync(join(folder, 'lock')));
});

test('of two that find a dead lock, the later one to clear it does not clear the lock of the other', async (t) => {
  const folder = await temporaryFolder(t);
  await leaveDeadLock(t, folder);
  const slow = hold(t, folder, 'pause');
  await slow.says(/clearing/);
  const quick = hold(t, folder);
  await quick.says(/inside|Waiting/);
  await create(folder, 'go');
  await slow.says(/inside|overlap|Waiting/);
  await create(folder, 'leave');
  t.deepEqual(await slow.exited, [0, null]);
  t.deepEqual(await quick.exited, [0, null]);
  for (const holder of [slow, quick]) {
    t.regex(holder.said(), /inside/);
    t.notRegex(holder.said(), /overlap/);
  }
});

test('many that claim at once all get it, one after the other', async (t) => {
  const folder = await temporaryFolder(t);
  await leaveDeadLock(t, folder);
  await create(folder, 'leave');
  const all = Array.from({ length: 6 }, () => hold(t, folder));
  for (const holder of all) {
    t.deepEqual(await holder.exited, [0, null]);
    t.regex(holder.said(), /inside/);
    t.notRegex(holder.said(), /overlap/);
  }
});
