// Runs one case: checks that every peer gives our answer, then alternates ours and the peers and reports medians and
// ratios.
//
// A case's default export, prepare({ quick, folder }), writes what its peer reads into the folder and resolves to
//
//   peer      script of bench/peers, started with the folder and with peerArgs
//   measures  title       in both languages of the READMEs
//             note        what its reader must know, in both languages; optional
//             shapes, unit, units    what was measured, and how many units one call works on
//             answer()    numbers by name, which every peer must agree on
//             tolerance   relative, of the agreement; optional
//             time(least) seconds of one call; see timing.js
//             peers       title and variants { job, threads }; the fastest variant counts
//             operations, limit      floating point operations of a call, and { operations, time } of what bounds them
//   close()   at the end; optional

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { loadNative } from '../dist/lib/native/load.js';
import { startPeer } from './peer.js';
import { median } from './timing.js';

/** What float32 operators promise. */
const TOLERANCE = 1e-4;
/** Seconds that a side is timed in a round. */
const LEAST_SECONDS = 0.25;
const ROUNDS = 7;

const { values: flags, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, 'no-peer': { type: 'boolean', default: false } },
  allowPositionals: true,
});
const [name] = positionals;
const least = flags.quick ? 0 : LEAST_SECONDS;
const rounds = flags.quick ? 1 : ROUNDS;

const folder = mkdtempSync(join(tmpdir(), 'albert-ner-bench-'));
try {
  await runCase();
} catch (error) {
  console.error(`error: ${name}: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function runCase() {
  const { default: prepare } = await import(`./cases/${name}.js`);
  const {
    peer: script,
    peerArgs = [],
    measures,
    close = () => {},
  } = await prepare({ quick: flags.quick, folder });
  const idle = await idleShare();
  const peer = flags['no-peer'] ? null : startPeer(script, [folder, ...peerArgs]);
  try {
    const results = [];
    for (const measure of measures) results.push(await runMeasure(measure, peer));
    const versions = await peer?.ask({ do: 'versions' });
    report({ versions, measures: results, idle });
  } finally {
    peer?.close();
    await close();
  }
}

async function runMeasure(measure, peer) {
  const answer = await measure.answer();
  const variants = peer ? measure.peers.flatMap((one) => one.variants) : [];
  const differences = new Map();
  for (const variant of variants) {
    const theirs = await peer.ask({ do: 'check', ...variant });
    differences.set(variant, checkAnswer(measure, { ours: answer, theirs, job: variant.job }));
  }
  const sides = [
    measure.time,
    ...variants.map((variant) => async () => (await peer.ask({ do: 'time', least, ...variant })).seconds),
    ...(measure.limit ? [measure.limit.time] : []),
  ];
  const times = sides.map(() => []);
  for (let round = 0; round <= rounds; round += 1) {
    for (const [index, time] of sides.entries()) {
      const seconds = await time(least);
      // The first round warms everything up.
      if (round > 0) times[index].push(seconds);
    }
  }
  return summarize(measure, { variants, differences }, times.map(median));
}

/** The largest relative difference. */
function checkAnswer({ tolerance = TOLERANCE }, { ours, theirs, job }) {
  const [names, expected] = [theirs, ours].map((answer) => Object.keys(answer).sort().join(', '));
  if (names !== expected) throw new Error(`${job} answers with ${names} but ours with ${expected}`);
  let largest = 0;
  for (const [key, value] of Object.entries(ours)) {
    const difference = Math.abs(value - theirs[key]) / Math.max(Math.abs(value), Math.abs(theirs[key]), 1e-9);
    if (!(difference <= tolerance)) throw new Error(`${key} is ${value}, but ${theirs[key]} in ${job}`);
    largest = Math.max(largest, difference);
  }
  return largest;
}

function summarize(measure, { variants, differences }, [ours, ...others]) {
  const { title, note, shapes, unit, units, peers, operations, limit } = measure;
  const secondsOf = new Map(variants.map((variant, index) => [variant, others[index]]));
  const result = {
    title,
    ...(note && { note }),
    shapes,
    oursSeconds: ours,
    [`ours ${unit}/s`]: Math.round(units / ours),
    peers: [],
  };
  for (const peer of variants.length > 0 ? peers : []) {
    const timed = peer.variants.map((variant) => ({
      ...variant,
      difference: differences.get(variant),
      seconds: secondsOf.get(variant),
    }));
    const best = Math.min(...timed.map(({ seconds }) => seconds));
    result.peers.push({ title: peer.title, seconds: best, ratio: best / ours, variants: timed });
  }
  if (limit) {
    const rate = limit.operations / others[variants.length];
    result.limit = { gflops: rate / 1e9, share: operations / (ours * rate) };
  }
  return result;
}

/** Of all cores in the next second, before anything of ours runs: a figure means little while others compute. */
async function idleShare() {
  if (flags.quick) return null;
  const total = (cores, pick) => cores.reduce((sum, { times }) => sum + pick(times), 0);
  const all = ({ user, nice, sys, idle, irq }) => user + nice + sys + idle + irq;
  const before = cpus();
  await setTimeout(1000);
  const after = cpus();
  const spent = (pick) => total(after, pick) - total(before, pick);
  return spent(({ idle }) => idle) / spent(all);
}

function report({ versions, measures, idle }) {
  const result = {
    case: name,
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} x ${cpus()[0].model}`,
    idle,
    rounds,
    buildInfo: loadNative().buildInfo(),
    versions,
    measures,
  };
  console.log(JSON.stringify(result));
  if (flags.quick || flags['no-peer']) return;
  if (idle < 0.9) console.error(`warning: only ${Math.round(100 * idle)} % of the machine was idle`);
  mkdirSync(new URL('results/', import.meta.url), { recursive: true });
  writeFileSync(new URL(`results/${name}.json`, import.meta.url), `${JSON.stringify(result, null, 2)}\n`);
}
