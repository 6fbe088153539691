/**
 * Leaves the process while a prediction is running, after as many others as the second argument says; prints whether the
 * model's thread had ended by then, on Linux, where threads can be counted.
 */

import { readdirSync, writeSync } from 'node:fs';
import { AlbertNer } from '../../../lib/index.js';

const threads = () => (process.platform === 'linux' ? readdirSync('/proc/self/task').length : Number.NaN);

const ner = await AlbertNer.load(process.argv[2], { device: 'cpu', threads: 1 });
// Each of these texts is a call of its own, and only two are queued at a time: others get their turn in between.
const texts = new Array<string>(200).fill('王小明昨天在北京大学。'.repeat(1000));
ner.predict(texts).catch(() => {});
let running = Number.NaN;
process.prependListener('exit', () => {
  running = threads();
});
process.on('exit', () => {
  ner.predict('王小明').catch(() => {}); // A call after the end is dropped.
  writeSync(1, JSON.stringify({ ended: running - threads() }));
});
for (let call = 0; call < Number(process.argv[3]); call += 1) await ner.predict('王小明');
process.exit(0);
