#!/usr/bin/env node
// How the shipped model serves callers: one sentence at a time, on a quiet machine and beside processes that burn a core each,
// and many calls of a sentence at once against one call of as many. Prints one JSON line. Run it while nothing else runs.
//
//   node bench/calls.js [--burn N] [--threads N] [--quick]
//
// --burn     processes that burn a core; default 1
// --threads  of the model; default as for users
// --quick    a few calls: shows that everything works

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { AlbertNer } from '../dist/lib/index.js';
import { loadNative } from '../dist/lib/native/load.js';
import { median } from './timing.js';

/** 100 characters. */
const SENTENCE =
  '王小明昨天在北京大学和李思雨一起参加了华星科技公司的会议，下午三点结束后两人坐地铁去了西单，在一家书店里买了几本关于历史的书，' +
  '晚上又到朋友张伟的家里吃饭，谈到明年春天一起去云南大理旅行的打算，很高兴。';
const CALLS_AT_ONCE = 64;

const { values: flags } = parseArgs({
  options: {
    burn: { type: 'string', default: '1' },
    threads: { type: 'string', default: '0' },
    quick: { type: 'boolean', default: false },
  },
});
const rounded = (value) => Number(value.toFixed(2));
const [calls, rounds] = flags.quick ? [3, 1] : [200, 7];

const ner = await AlbertNer.load(undefined, { device: 'cpu', threads: Number(flags.threads) });
await ner.predict(Array.from({ length: CALLS_AT_ONCE }, () => SENTENCE)); // Warms everything up.
const result = {
  machine: `${cpus().length} x ${cpus()[0].model}`,
  buildInfo: loadNative().buildInfo(),
  threads: Number(flags.threads),
  characters: SENTENCE.length,
  quiet: await latencies(),
  besideLoad: { burning: Number(flags.burn), ...(await besideLoad(Number(flags.burn))) },
  atOnce: await callsAtOnce(),
};
await ner.dispose();
console.log(JSON.stringify(result));

async function milliseconds(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Of one call after the other. */
async function latencies() {
  const times = [];
  for (let call = 0; call < calls; call += 1) times.push(await milliseconds(() => ner.predict(SENTENCE)));
  times.sort((a, b) => a - b);
  const at = (share) => rounded(times[Math.min(Math.floor(share * times.length), times.length - 1)]);
  return { medianMs: at(0.5), p99Ms: at(0.99), largestMs: at(1) };
}

async function besideLoad(count) {
  const code = 'console.log("burning"); for (;;);';
  const burners = Array.from({ length: count }, () =>
    spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  try {
    await Promise.all(burners.map(({ stdout }) => once(stdout, 'data')));
    return await latencies();
  } finally {
    for (const burner of burners) burner.kill('SIGKILL');
  }
}

/** The same texts in calls of their own, and in one call, in turn. */
async function callsAtOnce() {
  const texts = Array.from({ length: CALLS_AT_ONCE }, () => SENTENCE);
  const single = [];
  const together = [];
  for (let round = 0; round < rounds; round += 1) {
    single.push(await milliseconds(() => Promise.all(texts.map((text) => ner.predict(text)))));
    together.push(await milliseconds(() => ner.predict(texts)));
  }
  const [singleMs, togetherMs] = [median(single), median(together)];
  return {
    calls: CALLS_AT_ONCE,
    singleMs: rounded(singleMs),
    togetherMs: rounded(togetherMs),
    rate: rounded(togetherMs / singleMs),
  };
}
