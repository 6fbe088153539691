#!/usr/bin/env node
// How long other work of a process waits for the event loop while a long text is tokenised and while many texts are
// predicted with the shipped model. Prints one JSON line, times in milliseconds. Run it while nothing else runs.
//
//   node bench/event-loop.js [--quick]
//
// --quick    short texts: shows that everything works

import { cpus } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { AlbertNer } from '../dist/lib/index.js';
import { DEFAULT_MODEL } from '../dist/lib/model/load-model.js';
import { readModelDirectory } from '../dist/lib/model/model-directory.js';
import { tokenizeText } from '../dist/lib/model/packing.js';
import { TimeSlice } from '../dist/lib/model/time-slice.js';
import { loadNative } from '../dist/lib/native/load.js';
import { Tokenizer } from '../dist/lib/text/tokenizer.js';

const SENTENCE = '王小明昨天在北京大学和李思雨一起参加了华星科技公司的会议，下午三点结束。';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });

/** Delays of a timer of one millisecond while `work` runs. */
async function delaysDuring(work) {
  await work(); // Warms everything up.
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await sleep(10); // The monitor's first interval begins on an idle loop.
  histogram.reset();
  await work();
  await sleep(10);
  histogram.disable();
  const milliseconds = (nanoseconds) => Number((nanoseconds / 1e6).toFixed(2));
  return { largestMs: milliseconds(histogram.max), p99Ms: milliseconds(histogram.percentile(99)) };
}

async function tokenising(characters) {
  const { description, vocab } = await readModelDirectory(DEFAULT_MODEL);
  const tokenizer = new Tokenizer(vocab);
  const text = SENTENCE.repeat(Math.ceil(characters / SENTENCE.length));
  const delays = await delaysDuring(() => tokenizeText(text, tokenizer, description.text, new TimeSlice()));
  return { characters: text.length, ...delays };
}

async function predicting(count, repeat) {
  const ner = await AlbertNer.load(DEFAULT_MODEL, { device: 'cpu' });
  try {
    const texts = Array.from({ length: count }, () => SENTENCE.repeat(repeat));
    return { texts: count, characters: texts[0].length, ...(await delaysDuring(() => ner.predict(texts))) };
  } finally {
    await ner.dispose();
  }
}

const [characters, count, repeat] = flags.quick ? [50_000, 2, 2] : [4_000_000, 64, 20];
console.log(
  JSON.stringify({
    machine: `${cpus().length} x ${cpus()[0].model}`,
    buildInfo: loadNative().buildInfo(),
    tokenising: await tokenising(characters),
    predicting: await predicting(count, repeat),
  }),
);
