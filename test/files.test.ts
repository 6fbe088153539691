import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { AlbertNerError, toAlbertNerError } from '../lib/errors.js';
import { removeAbandoned, writeFileAtomic } from '../lib/files.js';
import { temporaryFolder } from './support/paths.js';

/** Before this process began. */
const HOURS_AGO = Date.now() / 1000 - 7200;

/** A number that no process has any more. */
const ended = spawnSync(process.execPath, ['-e', '']).pid;

test('what a killed process began to write is removed by the next one, and nothing else', async (t) => {
  const folder = await temporaryFolder(t);
  const kept = [
    `b.json.${ended}-0123abcd.tmp`, // of another file
    `a.json.${ended}.tmp`,
    `a.json.${ended}-0123abcd.tmp.gz`,
  ];
  const fresh = [
    `a.json.${process.pid}-0123abcd.tmp`, // being written
    `a.json.${ended}-4567abcd.tmp`, // perhaps by a process of another container
  ];
  const removed = [`a.json.${ended}-0123abcd.tmp`, `a.json.${process.pid}-89abcdef.tmp`];
  for (const name of [...kept, ...fresh, ...removed]) await writeFile(join(folder, name), 'half');
  for (const name of [...kept, ...removed]) await utimes(join(folder, name), HOURS_AGO, HOURS_AGO);
  await writeFileAtomic(join(folder, 'a.json'), 'whole');
  t.deepEqual((await readdir(folder)).sort(), ['a.json', ...kept, ...fresh].sort());
  t.is(await readFile(join(folder, 'a.json'), 'utf8'), 'whole');
});

test('abandoned folders are removed, too', async (t) => {
  const folder = await temporaryFolder(t);
  const name = join(folder, `encoder.${ended}-0123abcd.tmp`);
  await mkdir(join(name, 'deep'), { recursive: true });
  await utimes(name, HOURS_AGO, HOURS_AGO);
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
