/** Predicts 64 long texts and prints how often the event loop turned and the peak memory while it did. */

import { AlbertNer } from '../../../lib/index.js';
import { turnsDuring } from '../../support/clock.js';

const ner = await AlbertNer.load(process.argv[2], { device: 'cpu', threads: 1 });
const sentence = '王小明昨天在北京大学和李思雨一起参加了华星科技公司的会议，下午三点结束。';
const texts = Array.from({ length: 64 }, (_, index) => sentence.repeat(120 + index));
const predicting = ner.predict(texts);
const turns = await turnsDuring(predicting);
const predictions = await predicting;
console.log(
  JSON.stringify({
    turns,
    windows: predictions.reduce((sum, { windows }) => sum + windows, 0),
    peakRssMb: process.resourceUsage().maxRSS / 1024,
  }),
);
await ner.dispose();
