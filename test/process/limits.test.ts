import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { childProgram, run, runNode } from '../support/child.js';
import { addon } from '../support/native.js';
import { temporaryFolder } from '../support/paths.js';
import { unavailable } from '../support/unavailable.js';

async function quotaOf(t: ExecutionContext, files: Record<string, string>): Promise<number> {
  const root = await temporaryFolder(t);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content);
  }
  return addon._cgroupCpus(root);
}

const V2 = 'sys/fs/cgroup';
const V1 = 'sys/fs/cgroup/cpu';

test('the quota of a cgroup is the smallest of its own and of those above it', async (t) => {
  const proc = { 'proc/self/cgroup': '0::/a.slice/b/c\n' };
  t.is(await quotaOf(t, { ...proc, [`${V2}/a.slice/cpu.max`]: 'max 100000\n' }), Number.POSITIVE_INFINITY);
  const own = { ...proc, [`${V2}/a.slice/b/c/cpu.max`]: '250000 100000\n' };
  t.is(await quotaOf(t, own), 2.5);
  t.is(await quotaOf(t, { ...own, [`${V2}/a.slice/cpu.max`]: '50000 100000\n' }), 0.5);
  t.is(await quotaOf(t, { ...own, [`${V2}/cpu.max`]: '150000 100000\n' }), 1.5);
});

test('in a container, whose own cgroup is the root or has another name there, the root counts', async (t) => {
  for (const path of ['/', '/docker/0123']) {
    const files = { 'proc/self/cgroup': `0::${path}\n`, [`${V2}/cpu.max`]: '300000 100000\n' };
    t.is(await quotaOf(t, files), 3);
  }
});

test('version 1 is read, under either name of its controllers, also where both versions are in use', async (t) => {
  const proc = { 'proc/self/cgroup': '5:memory:/x\n4:cpu,cpuacct:/a/b\n0::/init.scope\n' };
  const quota = (folder: string, us: number) => ({
    [`${folder}/cpu.cfs_quota_us`]: `${us}\n`,
    [`${folder}/cpu.cfs_period_us`]: '100000\n',
  });
  t.is(await quotaOf(t, { ...proc, ...quota(`${V1}/a/b`, -1) }), Number.POSITIVE_INFINITY);
  t.is(await quotaOf(t, { ...proc, ...quota(`${V1}/a/b`, 200_000) }), 2);
  t.is(await quotaOf(t, { ...proc, ...quota(`${V1}/a`, 120_000), ...quota(`${V1}/a/b`, 200_000) }), 1.2);
  t.is(await quotaOf(t, { ...proc, ...quota('sys/fs/cgroup/cpu,cpuacct/a/b', 70_000) }), 0.7);
});

test('without cgroups there is no quota', async (t) => {
  t.is(await quotaOf(t, {}), Number.POSITIVE_INFINITY);
});

test('training works on the small stacks of some systems', async (t) => {
  const command = 'ulimit -s 256 && exec "$@"';
  const folder = await temporaryFolder(t);
  const args = ['-c', command, 'sh', process.execPath, childProgram('train-tiny'), folder];
  const { code, signal, stdout, stderr } = await run('sh', args);
  t.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
  t.is(stdout, 'trained\n');
});

/** What count-threads prints as a user that has no other process: the limit is one of a user, and not of root. */
async function countLimited(t: ExecutionContext, ...args: string[]) {
  const user = [
    `--reuid=${100_000 + process.pid}`,
    '--clear-groups',
    // The checkout may lie where only its owner reads.
    '--inh-caps=+dac_read_search',
    '--ambient-caps=+dac_read_search',
  ];
  const probe = await run('setpriv', [...user, 'true']).catch(() => ({ code: 1 }));
  if (probe.code !== 0) return null;
  const { code, signal, stdout, stderr } = await run('setpriv', [
    ...user,
    process.execPath,
    childProgram('count-threads'),
    ...args,
  ]);
  t.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
  return JSON.parse(stdout);
}

const NO_OTHER_USER = 'only root may become another user with setpriv';

for (const [asked, granted, expected] of [
  [6, 3, [3]],
  [6, 1, [1]],
  [3, 8, [3]],
  [6, 9, [6, 3]],
  [6, 7, [6, 1]],
] as const) {
  const sessions = expected.length;
  test.serial(
    `${sessions} of ${asked} threads each, ${granted} granted: sessions have ${expected}`,
    async (t) => {
      const counts = await countLimited(t, String(asked), String(granted), String(sessions));
      if (counts === null) return unavailable(t, NO_OTHER_USER);
      t.deepEqual(
        counts,
        expected.map((threads) => [threads, threads]),
      );
    },
  );
}

test.serial('a session whose own thread the system refuses is an error with a remedy', async (t) => {
  const result = await countLimited(t, '2', '0', '1');
  if (result === null) return unavailable(t, NO_OTHER_USER);
  t.is(result.code, 'ERR_IO');
  t.regex(result.message, /^Expected a thread for the session but the system refuses one \(.*ulimit -u/);
});

test('a session has no more threads than OMP_THREAD_LIMIT allows, and says so', async (t) => {
  const env = { ...process.env, OMP_THREAD_LIMIT: '2' };
  const { stdout, stderr } = await runNode(childProgram('count-threads'), ['4', 'all', '1'], { env });
  t.deepEqual(JSON.parse(stdout), [[2, 2]], stderr);
});
