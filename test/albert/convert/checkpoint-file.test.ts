import { execFileSync } from 'node:child_process';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { CheckpointFile } from '../../../albert/convert/checkpoint-file.js';
import { openPytorchLegacy } from '../../../albert/convert/pytorch-legacy.js';
import { openPytorchZip } from '../../../albert/convert/pytorch-zip.js';
import { openSafetensors } from '../../../albert/convert/safetensors.js';
import { openTfBundle } from '../../../albert/convert/tf-bundle.js';
import { assertRefused } from '../../support/checkpoints.js';
import { temporaryFolder } from '../../support/paths.js';

test('folders, pipes and devices are refused at once', async (t) => {
  const folder = await temporaryFolder(t);
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe, `${pipe}.index`]);
  for (const open of [openPytorchZip, openPytorchLegacy, openSafetensors, openTfBundle]) {
    await assertRefused(t, open(pipe), 'E_IO');
  }
  for (const path of [folder, '/dev/zero']) await assertRefused(t, CheckpointFile.open(path), 'E_IO');
});

test('a file that grows or shrinks while it is read is refused', async (t) => {
  const path = join(await temporaryFolder(t), 'file');
  await writeFile(path, 'some bytes');
  const file = await CheckpointFile.open(path);
  await t.notThrowsAsync(file.checkUnchanged());
  await appendFile(path, 'more');
  await assertRefused(t, file.checkUnchanged(), 'E_IO');
  await writeFile(path, 'few');
  await assertRefused(t, file.bytes(0, 10), 'E_TRUNCATED');
  await file.close();
});

test('a part that the file has not is refused before it is allocated', async (t) => {
  const path = join(await temporaryFolder(t), 'file');
  await writeFile(path, 'some bytes');
  const file = await CheckpointFile.open(path);
  const error = await assertRefused(t, file.bytes(4, 2 ** 45), 'E_TRUNCATED');
  t.like(error.details, { expected: 4 + 2 ** 45, actual: 10 });
  await file.close();
});
