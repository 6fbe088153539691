/** Predicts one line of a megabyte and prints what it took. */

import { AlbertNer } from '../../../lib/index.js';

const ner = await AlbertNer.load(process.argv[2], { device: 'cpu' });
const sentence = '王小明昨天在北京大学';
const text = sentence.repeat(Math.ceil((1 << 20) / Buffer.byteLength(sentence)));
const { entities, windows } = await ner.predict(text);
console.log(
  JSON.stringify({
    bytes: Buffer.byteLength(text),
    windows,
    allExact: entities.every((entity) => text.slice(entity.start, entity.end) === entity.text),
    entities: entities.length,
    peakRssMb: process.resourceUsage().maxRSS / 1024,
  }),
);
