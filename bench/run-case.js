// Runs one case: checks that both sides give the same answer, then alternates them and reports medians and the ratio.

import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { loadNative } from '../dist/lib/native/load.js';

const [name] = process.argv.slice(2);
const { default: prepare } = await import(`./cases/${name}.js`);
/** Each side: run() does one round and resolves to its seconds. */
const { ours, peer, units, unit, shapes, rounds = 7, close } = await prepare();

const seconds = { ours: [], peer: [] };
for (let round = 0; round <= rounds; round += 1) {
  const a = await ours();
  const b = await peer();
  // The first round warms both up.
  if (round === 0) continue;
  seconds.ours.push(a);
  seconds.peer.push(b);
}
await close();

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const result = {
  case: name,
  shapes,
  rounds,
  oursSeconds: median(seconds.ours),
  peerSeconds: median(seconds.peer),
  ratio: median(seconds.peer) / median(seconds.ours),
  [`ours ${unit}/s`]: Math.round(units / median(seconds.ours)),
  [`peer ${unit}/s`]: Math.round(units / median(seconds.peer)),
  machine: `${cpus().length} x ${cpus()[0].model}`,
  buildInfo: loadNative().buildInfo(),
};
mkdirSync(new URL('results/', import.meta.url), { recursive: true });
writeFileSync(
  new URL(`results/${name}.json`, import.meta.url),
  `${JSON.stringify({ ...result, seconds }, null, 2)}\n`,
);
console.log(JSON.stringify(result));
