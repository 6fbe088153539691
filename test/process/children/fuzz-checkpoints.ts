/**
 * Feeds mutated checkpoints of every format to their readers: whatever the bytes, a reader returns or refuses with an
 * AlbertNerError, soon and in little memory. Prints one JSON line; exits with 1 on the first violation, with its input.
 *
 *   node dist/test/process/children/fuzz-checkpoints.js --seconds 600 | --inputs 5000 [--seed 1]
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openCheckpoint } from '../../../albert/convert/detect.js';
import { closeCheckpoint } from '../../../albert/convert/stored-tensor.js';
import { readStructure } from '../../../albert/convert/structure.js';
import { TensorReader } from '../../../albert/convert/tensor-stream.js';
import { AlbertNerError } from '../../../lib/errors.js';
import { createRandom, type Random } from '../../../lib/random.js';
import { goldenTensors, toTensorFlow, toTorch } from '../../support/foreign-encoders.js';
import { fixture } from '../../support/paths.js';
import { pickle, stateDictObject, torchLegacy, torchZip } from '../../support/pytorch-writer.js';
import { bundle, shardPath } from '../../support/tf-bundle-writer.js';

/** Of the processor, for one input; checked in runs for a time, while a test does a number of inputs, however long. */
const MAX_INPUT_SECONDS = 1;
const MAX_RSS_MEBIBYTES = 256;

const { values: options } = parseArgs({
  options: {
    inputs: { type: 'string', default: 'Infinity' },
    seconds: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
  },
});

/** A format: how a mutated file is made. Bundles have their shard beside the index. */
interface Target {
  name: string;
  kind: 'file' | 'tensorflow';
  make: (random: Random) => { bytes: Buffer; shard?: Buffer };
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0xffffffff, 0x10000];

/** A few changes of bytes, lengths and order. */
function mutate(random: Random, original: Buffer): Buffer {
  let bytes = Buffer.from(original);
  for (let changes = 1 + random.int(4); changes > 0; changes -= 1) {
    const at = random.int(Math.max(bytes.length, 1));
    const length = 1 + random.int(16);
    switch (random.int(7)) {
      case 0:
        if (at < bytes.length) bytes[at] ^= 1 << random.int(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = random.int(256);
        break;
      case 2:
        if (at + 4 <= bytes.length) bytes.writeUInt32LE(INTERESTING[random.int(INTERESTING.length)], at);
        break;
      case 3:
        if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(1n << BigInt(random.int(64)), at);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 5: {
        const from = random.int(Math.max(bytes.length, 1));
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          bytes.subarray(from, from + length),
          bytes.subarray(at),
        ]);
        break;
      }
      default:
        if (random.int(4) === 0) bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}

async function targets(): Promise<Target[]> {
  const canonical = await goldenTensors('google-one-layer');
  const torch = toTorch(canonical);
  const variables = toTensorFlow(canonical, 'google');
  const slices = [
    [
      { start: 0, length: 30 },
      { start: 0, length: -1 },
    ],
    [
      { start: 30, length: 30 },
      { start: 0, length: -1 },
    ],
  ];
  const parts = variables.map((tensor) =>
    tensor.name.endsWith('word_embeddings') ? { ...tensor, slices } : tensor,
  );
  const written = bundle(parts);
  const object = {
    zip: pickle(stateDictObject(torch, 'zip')),
    legacy: pickle(stateDictObject(torch, 'legacy')),
  };
  const whole = async (name: string, file: string): Promise<Target> => {
    const original = await readFile(file);
    return { name, kind: 'file', make: (random) => ({ bytes: mutate(random, original) }) };
  };
  const [shard] = written.data;
  return [
    await whole('safetensors', fixture('albert', 'google-one-layer', 'model.safetensors')),
    await whole('zip', fixture('checkpoints', 'tensors.zip.pt')),
    await whole('legacy', fixture('checkpoints', 'tensors.legacy.pt')),
    // Checksums are made anew, so that what lies behind them is reached.
    {
      name: 'pickle in zip',
      kind: 'file',
      make: (random) => ({ bytes: torchZip(torch, { object: mutate(random, object.zip) }) }),
    },
    {
      name: 'pickle in legacy',
      kind: 'file',
      make: (random) => ({ bytes: torchLegacy(torch, { object: mutate(random, object.legacy) }) }),
    },
    {
      name: 'index',
      kind: 'tensorflow',
      make: (random) => ({ bytes: mutate(random, written.index), shard }),
    },
    {
      name: 'block in index',
      kind: 'tensorflow',
      make: (random) => ({
        bytes: bundle(parts, { contents: (contents) => mutate(random, contents) }).index,
        shard,
      }),
    },
    {
      name: 'shard',
      kind: 'tensorflow',
      make: (random) => ({ bytes: written.index, shard: mutate(random, shard) }),
    },
  ];
}

/** Reads everything; returns the reason of a refusal, or "read". Throws whatever is no refusal. */
async function read(kind: Target['kind'], path: string, folder: string): Promise<string> {
  try {
    const checkpoint = await openCheckpoint({ kind, path, folder });
    try {
      const reader = new TensorReader();
      for (const tensor of checkpoint.tensors) {
        if (/^B?F\d+$/.test(tensor.dtype))
          for await (const _ of reader.blocks(tensor, { allowNonFinite: true }));
      }
      readStructure(checkpoint);
      return 'read';
    } finally {
      await closeCheckpoint(checkpoint);
    }
  } catch (error) {
    if (error instanceof AlbertNerError && error.code.startsWith('ERR_CHECKPOINT_'))
      return String(error.details.reason);
    throw error;
  }
}

const seconds = Number(options.seconds);
const maxInputs = Number(options.inputs);
const random = createRandom(Number(options.seed));
const folder = await mkdtemp(join(tmpdir(), 'albert-ner-fuzz-'));
const outcomes: Record<string, number> = {};
let inputs = 0;
let slowestMs = 0;
const rss = () => Math.round(process.resourceUsage().maxRSS / 1024);

try {
  const all = await targets();
  const end = performance.now() + 1000 * seconds;
  while (inputs < maxInputs && performance.now() < end) {
    const { name, kind, make } = all[inputs % all.length];
    const { bytes, shard } = make(random);
    const path = join(folder, 'input');
    await writeFile(kind === 'tensorflow' ? `${path}.index` : path, bytes);
    if (shard) await writeFile(shardPath(path, 0, 1), shard);
    // Time of the processor, as other programs may hold it.
    const before = process.cpuUsage();
    let violation: string | null = null;
    try {
      const outcome = await read(kind, path, folder);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    } catch (error) {
      violation = String((error as Error).stack);
    }
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1000;
    slowestMs = Math.max(slowestMs, ms);
    if (seconds < Infinity && ms > 1000 * MAX_INPUT_SECONDS) violation ??= `it took ${ms} ms`;
    if (rss() > MAX_RSS_MEBIBYTES) violation ??= `memory reached ${rss()} MiB`;
    if (violation !== null) {
      console.log(
        JSON.stringify({ violation, format: name, input: inputs, base64: bytes.toString('base64') }),
      );
      process.exitCode = 1;
      break;
    }
    inputs += 1;
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(
  JSON.stringify({
    inputs,
    seed: Number(options.seed),
    slowestMs: Math.round(slowestMs),
    maxRssMebibytes: rss(),
    outcomes,
  }),
);
