/** Predicts 64 long texts and prints the largest event-loop delay and the peak memory while it does. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { AlbertNer } from '../../../lib/index.js';

const ner = await AlbertNer.load(process.argv[2], { device: 'cpu', threads: 1 });
const sentence = '王小明昨天在北京大学和李思雨一起参加了华星科技公司的会议，下午三点结束。';
const texts = Array.from({ length: 64 }, (_, index) => sentence.repeat(120 + index));
await ner.predict(sentence);
await sleep(100);
const histogram = monitorEventLoopDelay({ resolution: 1 });
histogram.enable();
const predictions = await ner.predict(texts);
histogram.disable();
console.log(
  JSON.stringify({
    maxDelayMs: histogram.max / 1e6,
    windows: predictions.reduce((sum, { windows }) => sum + windows, 0),
    peakRssMb: process.resourceUsage().maxRSS / 1024,
  }),
);
await ner.dispose();
