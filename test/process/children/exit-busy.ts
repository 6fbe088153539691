/** Leaves the process while a prediction is running. */

import { AlbertNer } from '../../../lib/index.js';

const ner = await AlbertNer.load(process.argv[2], { device: 'cpu', threads: 1 });
ner.predict('王小明昨天在北京大学。'.repeat(30_000)).catch(() => {});
setTimeout(() => process.exit(0), Number(process.argv[3]));
