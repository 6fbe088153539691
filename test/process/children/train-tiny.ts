/** Trains a small model into the folder of the argument, on a frozen encoder and then with it. */

import { join } from 'node:path';
import { tinyConfig, trainOn, writeTinyFiles } from '../../support/tiny-model.js';

const folder = process.argv[2];
const files = await writeTinyFiles(folder);
for (const finetune of ['none', 'full']) {
  const config = await tinyConfig('threads=2', 'train.epochs=1', `train.finetune=${finetune}`);
  await trainOn(files, { output: join(folder, finetune), config });
}
console.log('trained');
