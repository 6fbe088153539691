/**
 * Loads a model, predicts, leaves it to the collector, which runs in an `exit` handler, when the addon's sessions have ended
 * already; and tries to open a session there. Arguments: model directory; "disposed" or "kept"; "main" or "worker".
 */

import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread, Worker } from 'node:worker_threads';
import { AlbertNer } from '../../../lib/index.js';
import { loadNative } from '../../../lib/native/load.js';

const [directory, disposal, place] = process.argv.slice(2);

if (isMainThread && place === 'worker') {
  new Worker(fileURLToPath(import.meta.url), { argv: [directory, disposal, place] });
} else {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const addon = loadNative();
  await predict();
  process.on('exit', () => {
    for (let round = 0; round < 3; round += 1) collect();
    let code = 'none';
    try {
      new addon.Session({ device: 'cpu', threads: 1 });
    } catch (error) {
      code = (error as { code: string }).code;
    }
    collect();
    writeSync(1, `late session: ${code}\n`);
  });
}

/** In a function of its own, so that nothing refers to the model afterwards. */
async function predict(): Promise<void> {
  const ner = await AlbertNer.load(directory, { device: 'cpu', threads: 1 });
  await ner.predict('王小明在北京');
  if (disposal === 'disposed') await ner.dispose();
}
