// One pretraining step, ours against transformers' AlbertForPreTraining with torch's fused AdamW: same weights, same
// sequences, same masks, same threads. The peer pads, as its users do.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEncoderPreset } from '../../dist/albert/encoder-config.js';
import { writeEncoderFolder } from '../../dist/lib/model/encoder-folder.js';
import { nativeEncoderConfig } from '../../dist/lib/model/native-config.js';
import { loadNative } from '../../dist/lib/native/load.js';
import { createRandom } from '../../dist/lib/random.js';
import { VocabBuilder } from '../../dist/lib/text/build-vocab.js';
import { startPeer } from '../peer.js';

const UNITS = 4096;
const MAX_LENGTH = 128;
const MASK_SHARE = 0.15;
const THREADS = 2;

/** Lengths as the planner makes them: nine in ten end at a sentence near the limit, one in ten is short. */
function makeBatch(config, vocab) {
  const random = createRandom(1);
  const batch = { ids: [], types: [], lengths: [], maskedRows: [], maskedIds: [], orderLabels: [] };
  while (batch.ids.length < UNITS) {
    const length = random.next() < 0.1 ? 16 + random.int(MAX_LENGTH - 16) : 90 + random.int(MAX_LENGTH - 89);
    const split = 4 + random.int(length - 8);
    for (let place = 0; place < length; place += 1) {
      const special =
        place === 0 ? vocab.clsId : place === split || place === length - 1 ? vocab.sepId : null;
      const id = vocab.firstOrdinaryId + random.int(config.vocabSize - vocab.firstOrdinaryId);
      if (special === null && random.next() < MASK_SHARE) {
        batch.maskedRows.push(batch.ids.length);
        batch.maskedIds.push(id);
        batch.ids.push(vocab.maskId);
      } else batch.ids.push(special ?? id);
      batch.types.push(place > split ? 1 : 0);
    }
    batch.lengths.push(length);
    batch.orderLabels.push(random.int(2));
  }
  return batch;
}

export default async function prepare() {
  const builder = new VocabBuilder();
  for (let code = 0; code < 6600; code += 1) builder.add(String.fromCodePoint(0x4e00 + code));
  const vocab = builder.build();
  const config = { ...(await readEncoderPreset('compact')), vocabSize: vocab.size };
  const plain = makeBatch(config, vocab);
  const batch = Object.fromEntries(
    Object.entries(plain).map(([key, values]) => [key, Int32Array.from(values)]),
  );
  const session = new (loadNative().Session)({ device: 'cpu', threads: THREADS });
  await session.initEncoder(nativeEncoderConfig(config, vocab), 1);
  await session.initPretraining(2);
  const settings = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.01, clipNorm: 0 };
  await session.initOptimizer('pretraining', { kind: 'adamw', ...settings });

  const folder = mkdtempSync(join(tmpdir(), 'albert-ner-bench-'));
  await writeEncoderFolder(folder, {
    config,
    vocab,
    tensors: await session.exportTensors('encoder'),
    pretrainingHeads: await session.exportTensors('pretraining'),
  });
  writeFileSync(join(folder, 'batch.json'), JSON.stringify(plain));
  const peer = startPeer('pretrain_step.py', [folder, String(THREADS)]);

  const theirs = await peer.ask('loss');
  const scores = await session.pretrainScores(batch);
  const loss = scores.maskedLoss / scores.maskedCount + scores.orderLoss / scores.orderCount;
  if (Math.abs(loss / theirs.loss - 1) > 1e-5) throw new Error(`loss ${loss}, the peer's ${theirs.loss}`);

  return {
    units: plain.ids.length,
    unit: 'units',
    shapes: { config: 'compact', sequences: plain.lengths.length, units: plain.ids.length, threads: THREADS },
    ours: async () => {
      const start = performance.now();
      await session.pretrainStep({ batches: [batch], learningRate: 1e-4 });
      return (performance.now() - start) / 1000;
    },
    peer: async () => (await peer.ask('step')).seconds,
    close: async () => {
      peer.close();
      await session.dispose();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
