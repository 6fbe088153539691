/** Predicts 64 texts of ordinary length and prints the peak memory of the process. */

import { AlbertNer } from '../../../lib/index.js';

const ner = await AlbertNer.load(process.argv[2], { device: 'cpu' });
const sentence = '王小明昨天在北京大学和李思雨一起参加了华星科技公司的会议，下午三点结束。';
const predictions = await ner.predict(Array.from({ length: 64 }, (_, k) => sentence.repeat(1 + (k % 12))));
await ner.dispose();
console.log(JSON.stringify({ texts: predictions.length, peakRssMb: process.resourceUsage().maxRSS / 1024 }));
