// One pretraining step, ours against transformers' AlbertForPreTraining with torch's fused AdamW: same weights, same
// sequences, same masks, same threads. The peer pads, as its users do, and computes in bfloat16 under autocast.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readEncoderPreset } from '../../dist/albert/encoder-config.js';
import { writeEncoderFolder } from '../../dist/lib/model/encoder-folder.js';
import { nativeEncoderConfig } from '../../dist/lib/model/native-config.js';
import { loadNative } from '../../dist/lib/native/load.js';
import { createRandom } from '../../dist/lib/random.js';
import { VocabBuilder } from '../../dist/lib/text/build-vocab.js';
import { timeAsync } from '../timing.js';

const MAX_LENGTH = 128;
const MASK_SHARE = 0.15;
const THREADS = 2;
const TOLERANCE = { float32: 1e-5, bfloat16: 2e-3 };

/** Lengths as the planner makes them: nine in ten end at a sentence near the limit, one in ten is short. */
function makeBatch(config, vocab, units) {
  const random = createRandom(1);
  const batch = { ids: [], types: [], lengths: [], maskedRows: [], maskedIds: [], orderLabels: [] };
  while (batch.ids.length < units) {
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

export default async function prepare({ quick, folder }) {
  const builder = new VocabBuilder();
  for (let code = 0; code < 6600; code += 1) builder.add(String.fromCodePoint(0x4e00 + code));
  const vocab = builder.build();
  const preset = quick ? 'mini' : 'compact';
  const config = { ...(await readEncoderPreset(preset)), vocabSize: vocab.size };
  const plain = makeBatch(config, vocab, quick ? 200 : 4096);
  const batch = Object.fromEntries(
    Object.entries(plain).map(([key, values]) => [key, Int32Array.from(values)]),
  );
  writeFileSync(join(folder, 'batch.json'), JSON.stringify(plain));
  const sessions = [];
  const [sequences, units] = [plain.lengths.length, plain.ids.length];
  const measures = [];
  for (const [precision, tolerance] of Object.entries(TOLERANCE)) {
    const session = new (loadNative().Session)({ device: 'cpu', threads: THREADS });
    sessions.push(session);
    await session.initEncoder(nativeEncoderConfig(config, vocab, -2, precision), 1);
    await session.initPretraining(2);
    const settings = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.01, clipNorm: 0 };
    await session.initOptimizer('pretraining', { kind: 'adamw', ...settings });
    measures.push({
      title: {
        en: `pretraining step, encoder ${preset}, ${precision}, two threads`,
        zh: `预训练一步，编码器 ${preset}，${precision}，双线程`,
      },
      shapes: { config: preset, sequences, units, threads: THREADS },
      tolerance,
      unit: 'units',
      units,
      answer: async () => {
        const { maskedLoss, maskedCount, orderLoss, orderCount } = await session.pretrainScores(batch);
        return { loss: maskedLoss / maskedCount + orderLoss / orderCount };
      },
      time: timeAsync(() => session.pretrainStep({ batches: [batch], learningRate: 1e-4 })),
      peers: [
        {
          title: { en: 'transformers, padded', zh: 'transformers（padding）' },
          variants: [{ job: precision, threads: THREADS }],
        },
      ],
    });
  }
  await writeEncoderFolder(folder, {
    config,
    vocab,
    tensors: await sessions[0].exportTensors('encoder'),
    pretrainingHeads: await sessions[0].exportTensors('pretraining'),
  });
  const close = () => Promise.all(sessions.map((session) => session.dispose()));
  return { peer: 'pretrain_step.py', measures, close };
}
