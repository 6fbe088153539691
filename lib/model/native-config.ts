/** The addon's view of an encoder and a head: numbers and tables instead of names. */

import type { EncoderConfig } from '../../albert/encoder-config.js';
import type { FeatureLayer, Precision } from '../config/schema.js';
import { tagConstraints } from '../labels/constraints.js';
import type { TagSet } from '../labels/scheme.js';
import type { NativeEncoderConfig, NativeHeadConfig } from '../native/binding.js';
import type { Vocab } from '../text/vocab.js';

/** Numbers of the hidden states: 0 the embeddings, k the output of layer k. */
function hiddenStates(layer: FeatureLayer, layerCount: number): Int32Array {
  if (layer === 'mix') return Int32Array.from({ length: layerCount + 1 }, (_, state) => state);
  return Int32Array.of(layerCount + 1 + layer);
}

export function nativeEncoderConfig(
  config: EncoderConfig,
  vocab: Vocab,
  layer: FeatureLayer = -2,
  precision: Precision = 'float32',
): NativeEncoderConfig {
  return {
    ...config,
    precision,
    clsId: vocab.clsId,
    sepId: vocab.sepId,
    featureLayers: hiddenStates(layer, config.layerCount),
  };
}

export interface HeadShape {
  /** Of the BiLSTM, per direction. */
  hiddenSize: number;
  dropout: number;
  tagSet: TagSet;
  /** Default -2. */
  layer?: FeatureLayer;
  /** Width of an n-gram's row and the keys of those that have one; default none. */
  ngramWidth?: number;
  ngramKeys?: Int32Array;
  /** Of whole n-grams, in training; default 0. */
  ngramDropout?: number;
}

/** The head on top of an encoder of this config. */
export function nativeHeadConfig(
  {
    hiddenSize,
    dropout,
    tagSet,
    layer = -2,
    ngramWidth = 0,
    ngramKeys = new Int32Array(0),
    ngramDropout = 0,
  }: HeadShape,
  encoder: EncoderConfig,
): NativeHeadConfig {
  const { transitions, starts, ends } = tagConstraints(tagSet);
  return {
    featureSize: encoder.hiddenSize,
    mixedLayers: hiddenStates(layer, encoder.layerCount).length,
    hiddenSize,
    dropout,
    ngramWidth,
    ngramKeys,
    ngramDropout,
    tagCount: tagSet.size,
    tagRoles: tagSet.roles,
    tagLabels: tagSet.labelIndexes,
    allowedTransitions: transitions,
    allowedStarts: starts,
    allowedEnds: ends,
  };
}

/** What "auto" means on a session's device. Processors without matrix units for bfloat16 are slower in it. */
export function resolvePrecision(precision: 'auto' | Precision, device: string): Precision {
  if (precision !== 'auto') return precision;
  return device.startsWith('cuda') ? 'bfloat16' : 'float32';
}
