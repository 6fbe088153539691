import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { childProgram, runNode } from '../support/child.js';
import { trainTinyModel } from '../support/tiny-model.js';

let folder: string;
let directory: string;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'albert-ner-test-'));
  ({ directory } = await trainTinyModel(folder));
});

test.after.always(() => rm(folder, { recursive: true, force: true }));

for (const place of ['main', 'worker']) {
  for (const disposal of ['kept', 'disposed']) {
    test.serial(
      `a ${disposal} model that is collected after its thread ended disturbs no exit of a ${place} thread`,
      async (t) => {
        const { code, signal, stdout, stderr } = await runNode(childProgram('exit-collect'), [
          directory,
          disposal,
          place,
        ]);
        t.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
        t.is(stdout, 'late session: ERR_DISPOSED\n');
      },
    );
  }
}

for (const way of ['end', 'exit']) {
  test.serial(`an addon that an exit handler loads first (${way}) opens no session`, async (t) => {
    const { code, signal, stdout, stderr } = await runNode(childProgram('exit-load'), [way]);
    t.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
    t.is(stdout, 'late session: ERR_DISPOSED\n');
  });
}

for (const which of ['blocked', 'then']) {
  test.serial(
    `results of a worker that is terminated (${which}) are freed, and settled once at most`,
    async (t) => {
      const { code, signal, stdout, stderr } = await runNode(childProgram('terminated-calls'), [
        directory,
        which,
        '10',
      ]);
      t.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
      t.deepEqual(JSON.parse(stdout), { live: 0, settledAgain: 0 });
    },
  );
}
