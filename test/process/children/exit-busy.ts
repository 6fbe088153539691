/**
 * Leaves the process while a prediction is running; prints whether the model's thread had ended by then, on Linux, where
 * threads can be counted.
 */

import { readdirSync, writeSync } from 'node:fs';
import { AlbertNer } from '../../../lib/index.js';

const threads = () => (process.platform === 'linux' ? readdirSync('/proc/self/task').length : Number.NaN);

const ner = await AlbertNer.load(process.argv[2], { device: 'cpu', threads: 1 });
ner.predict('王小明昨天在北京大学。'.repeat(30_000)).catch(() => {});
let running = Number.NaN;
process.prependListener('exit', () => {
  running = threads();
});
process.on('exit', () => {
  ner.predict('王小明').catch(() => {}); // A call after the end is dropped.
  writeSync(1, JSON.stringify({ ended: running - threads() }));
});
setTimeout(() => process.exit(0), Number(process.argv[3]));
