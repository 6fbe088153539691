import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { loadNative } from '../../lib/native/load.js';
import { run } from '../support/child.js';
import { repoRoot } from '../support/paths.js';
import { unavailable } from '../support/unavailable.js';

const library = join(repoRoot, 'build', 'Release', 'libalbert_ner_ops.so');

/** Why the operators can't be tried from Python here, or null when they can. */
async function obstacle(python: string): Promise<string | null> {
  if (!existsSync(library)) return 'the set-up ran without ALBERT_NER_PY_OPS=ON';
  const ask = await run(python, ['-c', 'import torch; print(torch.__version__)']).catch(() => null);
  if (ask === null || ask.code !== 0) return `${python} has no torch; ALBERT_NER_PYTHON names another one`;
  const ours = loadNative().buildInfo().torchLoaded;
  const theirs = ask.stdout.trim().split('+')[0];
  return ours === theirs ? null : `the operators are built with torch ${ours} and ${python} has ${theirs}`;
}

test('from Python the operators pass the checks torch has for operators and gradients', async (t) => {
  const python = process.env.ALBERT_NER_PYTHON ?? 'python3';
  const reason = await obstacle(python);
  if (reason !== null) return unavailable(t, reason);
  const script = join(repoRoot, 'test', 'python', 'check_ops.py');
  const { code, stdout, stderr } = await run(python, [script, library]);
  t.is(code, 0, stderr);
  t.deepEqual(
    stdout.trim().split('\n'),
    ['crf_nll', 'crf_partial_nll', 'bilstm', 'tagger_loss', 'errors'].map((name) => `${name}: ok`),
  );
});
