/** Trains, resuming where there is a checkpoint, until it is killed. Arguments: encoder, train, dev, output. */

import { existsSync } from 'node:fs';
import { trainingFiles } from '../../../lib/training/trainer.js';
import { tinyConfig, trainOn } from '../../support/tiny-model.js';

const [encoder, trainData, devData, output] = process.argv.slice(2);
const config = await tinyConfig('train.epochs=1000', 'train.decay=none', 'train.warmup_ratio=0');
const resume = existsSync(trainingFiles(output).last);
await trainOn(
  { encoder, trainData, devData },
  {
    config,
    output,
    resume,
    onEvent: (event) => {
      if (event.type === 'resume') console.log(`resumed ${event.step}`);
    },
  },
);
