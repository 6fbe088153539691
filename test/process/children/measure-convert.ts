/**
 * Time and memory of converting a checkpoint of a published size, whose weights are random.
 *
 *   node dist/test/process/children/measure-convert.js write google-base FOLDER
 *   node dist/test/process/children/measure-convert.js convert FOLDER/model.ckpt FOLDER/out
 *   node dist/test/process/children/measure-convert.js load FOLDER/out
 */

import { appendFile, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c, maskCrc32c } from '../../../albert/convert/crc32c.js';
import { readEncoderPreset } from '../../../albert/encoder-config.js';
import { canonicalTensors } from '../../../albert/name-map.js';
import { convertCheckpoint } from '../../../lib/model/convert-checkpoint.js';
import { readEncoderFolder } from '../../../lib/model/encoder-folder.js';
import { openSession } from '../../../lib/model/load-model.js';
import { nativeEncoderConfig } from '../../../lib/model/native-config.js';
import { createRandom } from '../../../lib/random.js';
import { tensorFlowName } from '../../support/foreign-encoders.js';
import { fixture } from '../../support/paths.js';
import {
  bundleEntry,
  bundleHeader,
  shardPath,
  type TableRow,
  table,
} from '../../support/tf-bundle-writer.js';

const [action, first, second] = process.argv.slice(2);
const BLOCK_FLOATS = 1 << 20;
const LOADS = 5;

/** Variables of a checkpoint of the size, heads included. */
async function variables(preset: string): Promise<[string, number[]][]> {
  const config = await readEncoderPreset(preset);
  const { hiddenSize: D, embeddingSize: E, vocabSize: V, layout } = config;
  const W = layout === 'google' ? E : D;
  const encoder = [...canonicalTensors(config)].map(([name, shape]): [string, number[]] => {
    const { path, transposed } = tensorFlowName(name, layout);
    return [path, transposed ? [...shape].reverse() : shape];
  });
  return [
    ...encoder,
    ['bert/pooler/dense/bias', [D]],
    ['bert/pooler/dense/kernel', [D, D]],
    ['cls/predictions/output_bias', [V]],
    ['cls/predictions/transform/LayerNorm/beta', [W]],
    ['cls/predictions/transform/LayerNorm/gamma', [W]],
    ['cls/predictions/transform/dense/bias', [W]],
    ['cls/predictions/transform/dense/kernel', [D, W]],
    ['cls/seq_relationship/output_bias', [2]],
    ['cls/seq_relationship/output_weights', [2, D]],
  ];
}

async function write(preset: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await copyFile(fixture('albert', 'google-gelu', 'vocab.txt'), join(folder, 'vocab.txt'));
  const random = createRandom(1);
  const values = Float32Array.from({ length: BLOCK_FLOATS }, () => random.next() - 0.5);
  const bytes = Buffer.from(values.buffer);
  const shard = shardPath(join(folder, 'model.ckpt'), 0, 1);
  await writeFile(shard, '');
  const rows: TableRow[] = [{ key: Buffer.alloc(0), value: bundleHeader() }];
  let offset = 0;
  const sorted = (await variables(preset)).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, shape] of sorted) {
    const size = 4 * shape.reduce((a, b) => a * b, 1);
    let crc = 0;
    for (let at = 0; at < size; at += bytes.length) {
      const part = bytes.subarray(0, Math.min(bytes.length, size - at));
      crc = crc32c(part, crc);
      await appendFile(shard, part);
    }
    rows.push({ key: Buffer.from(name), value: bundleEntry({ shape, offset, size, crc: maskCrc32c(crc) }) });
    offset += size;
  }
  await writeFile(join(folder, 'model.ckpt.index'), table(rows));
  console.log(JSON.stringify({ preset, bytes: offset, variables: rows.length - 1 }));
}

const maxRssMebibytes = () => Math.round(process.resourceUsage().maxRSS / 1024);

async function timed(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return Math.round(performance.now() - start);
}

if (action === 'write') await write(first, second);
else if (action === 'convert') {
  const config = process.argv[5] ?? 'google-base';
  const before = process.cpuUsage();
  const ms = await timed(() => convertCheckpoint({ input: first, output: second, config }));
  const { user, system } = process.cpuUsage(before);
  console.log(
    JSON.stringify({
      config,
      ms,
      cpuMs: Math.round((user + system) / 1000),
      maxRssMebibytes: maxRssMebibytes(),
    }),
  );
} else {
  const session = openSession({ device: 'cpu', threads: 1 });
  const load = async () => {
    const { config, vocab, weights } = await readEncoderFolder(first);
    await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
  };
  await load();
  const times = [];
  const before = process.cpuUsage();
  for (let k = 0; k < LOADS; k += 1) times.push(await timed(load));
  const { user, system } = process.cpuUsage(before);
  const cpuMs = Math.round((user + system) / 1000 / LOADS);
  await session.dispose();
  console.log(JSON.stringify({ loadMs: times.sort((a, b) => a - b), cpuMs }));
}
