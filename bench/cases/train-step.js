// A whole training step on the stored features of a frozen encoder: gathering the batch, loss, gradients, clipping and
// AdamW. Ours is the trainer's call as JavaScript sees it; the peer is the same composition in torch, with its features
// in memory.

import { join } from 'node:path';
import { writeSafetensors } from '../../dist/albert/convert/safetensors.js';
import { readEncoderPreset } from '../../dist/albert/encoder-config.js';
import { TagSet } from '../../dist/lib/labels/scheme.js';
import { nativeEncoderConfig, nativeHeadConfig } from '../../dist/lib/model/native-config.js';
import { loadNative } from '../../dist/lib/native/load.js';
import { VocabBuilder } from '../../dist/lib/text/build-vocab.js';
import { bilstmOperations, msraBatch, sgemm } from '../problem.js';
import { timeAsync } from '../timing.js';

const THREADS = 2;
const CHECKED_STEPS = 3;
const LEARNING_RATE = 0.002;
const OPTIMIZER = { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 5e-4, clipNorm: 5 };

/** A random encoder of this width: what the features are doesn't change the speed. */
async function initEncoder(session, D) {
  const builder = new VocabBuilder();
  for (let code = 0; code < 3000; code += 1) builder.add(String.fromCodePoint(0x4e00 + code));
  const vocab = builder.build();
  const preset = await readEncoderPreset('mini');
  const shape = { hiddenSize: D, headCount: 4, intermediateSize: D, layerCount: 1, groupCount: 1 };
  const config = { ...preset, ...shape, vocabSize: vocab.size };
  await session.initEncoder(nativeEncoderConfig(config, vocab, -1), 1);
  return { config, vocab };
}

async function prepareWidth(D, { quick, folder }) {
  const H = quick ? 8 : 64;
  const session = new (loadNative().Session)({ device: 'cpu', threads: THREADS });
  const { config, vocab } = await initEncoder(session, D);
  const tagSet = new TagSet(['PER', 'LOC', 'ORG', 'T'], 'BIO');
  const head = nativeHeadConfig({ hiddenSize: H, dropout: 0, tagSet, layer: -1 }, config);
  // pytorch-crf knows no forbidden moves.
  for (const allowed of [head.allowedTransitions, head.allowedStarts, head.allowedEnds]) allowed.fill(1);
  await session.initHead(head, 1);
  await session.initOptimizer('head', OPTIMIZER);

  const { random, N, lengths, offsets, tags } = msraBatch(quick, tagSet.size);
  const ids = Int32Array.from({ length: N }, () => vocab.firstOrdinaryId + random.int(3000));
  const batch = { ids, offsets: offsets.data };
  const rows = await session.encode(batch);
  const store = await session.createFeatureStore(join(folder, `d${D}.features`));
  await session.appendFeatures(store, batch);
  const features = { name: 'features', shape: [N, D], data: rows };
  const weights = await session.exportTensors('head');
  await writeSafetensors(join(folder, `d${D}.safetensors`), [lengths, tags, features, ...weights]);

  const rate = LEARNING_RATE;
  const request = {
    features: store,
    sequences: Int32Array.from(lengths.data.keys()),
    tags: tags.data,
    learningRates: { encoder: rate, bilstm: rate, ngrams: rate, classifier: rate, crf: rate },
    seed: 1,
  };
  return {
    close: async () => {
      await session.closeFeatureStore(store);
      await session.dispose();
    },
    measure: {
      title: { en: `training step, D = ${D}, two threads`, zh: `训练一步，D = ${D}，双线程` },
      shapes: {
        sentences: lengths.data.length,
        units: N,
        features: D,
        hidden: H,
        tags: tagSet.size,
        threads: THREADS,
      },
      unit: 'units',
      units: N,
      answer: async () => {
        const answer = {};
        for (let step = 0; step < CHECKED_STEPS; step += 1) {
          const { loss, gradientNorm } = await session.trainStep(request);
          Object.assign(answer, {
            [`loss of step ${step}`]: loss,
            [`gradient norm of step ${step}`]: gradientNorm,
          });
        }
        return answer;
      },
      time: timeAsync(() => session.trainStep(request)),
      operations: bilstmOperations(N, D, H),
      limit: sgemm(quick, THREADS),
      peers: [
        {
          title: { en: 'the same composition in torch', zh: 'torch 中的同样组合' },
          variants: ['packed', 'packed without oneDNN'].map((way) => ({
            job: `d${D} ${way}`,
            threads: THREADS,
          })),
        },
      ],
    },
  };
}

export default async function prepare({ quick, folder }) {
  const widths = [];
  for (const D of quick ? [16] : [768, 312]) widths.push(await prepareWidth(D, { quick, folder }));
  return {
    peer: 'train_step.py',
    // Hyperparameters that both sides share.
    peerArgs: [JSON.stringify({ ...OPTIMIZER, learningRate: LEARNING_RATE, steps: CHECKED_STEPS })],
    measures: widths.map(({ measure }) => measure),
    close: async () => {
      for (const { close } of widths) await close();
    },
  };
}
