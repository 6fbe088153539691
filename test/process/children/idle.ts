/** Loads a model, predicts, and neither disposes nor exits: the process must end by itself. */

import { AlbertNer } from '../../../lib/index.js';

const ner = await AlbertNer.load(process.argv[2], { device: 'cpu', threads: 1 });
await ner.predict('王小明在北京');
console.log('done');
