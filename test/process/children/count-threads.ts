/**
 * Opens sessions of as many threads each as asked for, and prints those they have, by their own word and by a loop's. Where a number
 * of granted ones is given, the process may have no more beside those it has. Arguments: asked, granted or "all", sessions.
 */

import { execFileSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { loadNative } from '../../../lib/native/load.js';

const [asked, granted, count] = process.argv.slice(2);
const addon = loadNative();
if (granted !== 'all') {
  await readdir('.'); // From here on libuv has its threads, too.
  const { length: running } = await readdir('/proc/self/task');
  const limit = running + Number(granted);
  execFileSync('prlimit', ['--pid', String(process.pid), `--nproc=${limit}`]);
}
try {
  const sessions = Array.from(
    { length: Number(count) },
    () => new addon.Session({ device: 'cpu', threads: Number(asked) }),
  );
  const counts = [];
  for (const session of sessions) counts.push([session.threads, (await session._threadCounts()).ours]);
  console.log(JSON.stringify(counts));
  for (const session of sessions) await session.dispose();
} catch (error) {
  const { code, message } = error as { code: string; message: string };
  console.log(JSON.stringify({ code, message }));
}
