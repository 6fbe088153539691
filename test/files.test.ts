import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { AlbertNerError, toAlbertNerError } from '../lib/errors.js';
import { removeAbandoned, writeFileAtomic } from '../lib/files.js';
import { temporaryFolder } from './support/paths.js';

/** A number that no process has any more. */
const ended = spawnSync(process.execPath, ['-e', '']).pid;

test('what a killed process began to write is removed by the next one, and nothing else', async (t) => {
  const folder = await temporaryFolder(t);
  const kept = [
    `a.json.${process.pid}-0123abcd.tmp`, // being written
    `b.json.${ended}-0123abcd.tmp`, // of another file
    `a.json.${ended}.tmp`,
    `a.json.${ended}-0123abcd.tmp.gz`,
  ];
  for (const name of [...kept, `a.json.${ended}-0123abcd.tmp`]) await writeFile(join(folder, name), 'half');
  await writeFileAtomic(join(folder, 'a.json'), 'whole');
  t.deepEqual((await readdir(folder)).sort(), ['a.json', ...kept].sort());
  t.is(await readFile(join(folder, 'a.json'), 'utf8'), 'whole');
});

test('abandoned folders are removed, too', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, `encoder.${ended}-0123abcd.tmp`, 'deep'), { recursive: true });
  await removeAbandoned(join(folder, 'encoder'));
  t.deepEqual(await readdir(folder), []);
});

test("faults of the system are errors of their own, with the system's code", async (t) => {
  const folder = await temporaryFolder(t);
  const error = toAlbertNerError(await t.throwsAsync(readFile(folder)));
  t.true(error instanceof AlbertNerError);
  t.like(error, { code: 'ERR_IO', details: { reason: 'EISDIR' } });
  t.is(toAlbertNerError(new Error('odd')).code, 'ERR_INTERNAL');
});
