import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { runNode } from '../support/child.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';

/** What libgomp says of its settings when the addon is loaded, and what child processes would inherit. */
async function settingsWith(settings: NodeJS.ProcessEnv) {
  const { GOMP_SPINCOUNT, OMP_WAIT_POLICY, ...rest } = process.env;
  const code = `import { loadNative } from './dist/lib/native/load.js';
    loadNative();
    console.log(process.env.GOMP_SPINCOUNT);`;
  const { stdout, stderr } = await runNode('--input-type=module', ['-e', code], {
    cwd: repoRoot,
    env: { ...rest, ...settings, OMP_DISPLAY_ENV: 'verbose' },
  });
  return { inherited: stdout.trim(), spins: /GOMP_SPINCOUNT = '(\d+)'/.exec(stderr)?.[1] };
}

test("the pool's threads soon sleep when they find no work, and child processes don't inherit that", async (t) => {
  t.deepEqual(await settingsWith({}), { inherited: 'undefined', spins: '2000' });
});

test('how long the threads wait for work is left to the user who says so', async (t) => {
  t.deepEqual(await settingsWith({ GOMP_SPINCOUNT: '77' }), { inherited: '77', spins: '77' });
  const { inherited, spins } = await settingsWith({ OMP_WAIT_POLICY: 'active' });
  t.is(inherited, 'undefined');
  t.not(spins, '2000');
});

test('an addon whose libtorch this user cannot read says where that is and what to do', async (t) => {
  const folder = await temporaryFolder(t);
  const addon = join(folder, 'albert_ner.node');
  const code = "import('./dist/lib/native/load.js').then((m) => m.loadNative())";
  const load = () =>
    runNode('-e', [code], { cwd: repoRoot, env: { ...process.env, ALBERT_NER_ADDON: addon } });
  await writeFile(addon, 'no library');
  const gone = join(folder, 'libtorch');
  await writeFile(join(folder, 'libtorch.json'), JSON.stringify({ folder: gone, version: '2' }));
  const { code: exit, stderr } = await load();
  t.is(exit, 1);
  t.true(stderr.includes(`libtorch was set up in ${gone}, which this user can't read (ENOENT)`), stderr);
  t.regex(stderr, /ALBERT_NER_CACHE/);
  await mkdir(join(gone, 'lib'), { recursive: true });
  t.notRegex((await load()).stderr, /libtorch was set up/); // Then it is the addon itself.
});
