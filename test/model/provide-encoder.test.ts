import { copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { cacheFolder } from '../../lib/cache-folder.js';
import { provideEncoder } from '../../lib/model/provide-encoder.js';
import { runNode } from '../support/child.js';
import { goldenConfig, goldenTensors, toTensorFlow } from '../support/foreign-encoders.js';
import { fixture, repoRoot, temporaryFolder } from '../support/paths.js';
import { writeBundle } from '../support/tf-bundle-writer.js';

async function checkpointFolder(t: ExecutionContext): Promise<string> {
  const folder = await temporaryFolder(t);
  const { model_type: _, architectures: __, ...config } = await goldenConfig('google-relu-groups');
  await writeFile(join(folder, 'albert_config.json'), JSON.stringify(config));
  await copyFile(fixture('albert', 'google-gelu', 'vocab.txt'), join(folder, 'vocab.txt'));
  await writeBundle(
    join(folder, 'model.ckpt'),
    toTensorFlow(await goldenTensors('google-relu-groups'), 'google'),
  );
  return folder;
}

test.serial('a checkpoint is converted on first use, and again only when its content changes', async (t) => {
  process.env.ALBERT_NER_CACHE = await temporaryFolder(t);
  const folder = await checkpointFolder(t);
  const first = await provideEncoder(join(folder, 'model.ckpt'));
  t.is(first.report?.format, 'tensorflow');
  t.true(first.folder.startsWith(cacheFolder()));
  const stored = JSON.parse(await readFile(join(first.folder, 'conversion.json'), 'utf8'));
  t.is(stored.output, first.folder);
  const { mtimeMs } = await stat(join(first.folder, 'model.safetensors'));
  const second = await provideEncoder(folder);
  t.deepEqual(second, { folder: first.folder, report: null });
  t.is((await stat(join(first.folder, 'model.safetensors'))).mtimeMs, mtimeMs);
  const moved = await checkpointFolder(t);
  t.is((await provideEncoder(moved)).folder, first.folder);
  const { model_type: _, architectures: __, ...config } = await goldenConfig('google-relu-groups');
  await writeFile(join(moved, 'albert_config.json'), JSON.stringify({ ...config, hidden_act: 'gelu' }));
  const changed = await provideEncoder(moved);
  t.not(changed.folder, first.folder);
  t.is(changed.report?.encoder.activation, 'gelu_tanh');
});

test.serial('calls at once leave one folder and nothing half-made', async (t) => {
  process.env.ALBERT_NER_CACHE = await temporaryFolder(t);
  const folder = await checkpointFolder(t);
  const provided = await Promise.all([1, 2, 3].map(() => provideEncoder(folder)));
  t.is(new Set(provided.map((each) => each.folder)).size, 1);
  t.is((await readdir(join(cacheFolder(), 'encoders'))).length, 1);
});

test.serial('encoder folders and empty places come back as they are', async (t) => {
  process.env.ALBERT_NER_CACHE = await temporaryFolder(t);
  const encoder = fixture('albert', 'google-gelu');
  t.deepEqual(await provideEncoder(encoder), { folder: encoder, report: null });
  const none = join(cacheFolder(), 'none');
  t.deepEqual(await provideEncoder(none), { folder: none, report: null });
});

test.serial('the library and the set-up scripts agree on the cache folder', async (t) => {
  const script = `import { cacheFolder } from ${JSON.stringify(join(repoRoot, 'scripts', 'bootstrap', 'libtorch.js'))};
    console.log(cacheFolder());`;
  const file = join(await temporaryFolder(t), 'print.mjs');
  await writeFile(file, script);
  for (const set of [{ ALBERT_NER_CACHE: '/a/b' }, { ALBERT_NER_CACHE: '', XDG_CACHE_HOME: '/c' }]) {
    Object.assign(process.env, set);
    t.is((await runNode(file, [], { env: process.env })).stdout.trim(), cacheFolder());
  }
});
