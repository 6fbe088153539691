/** The addon's view of an encoder and a head: numbers and tables instead of names. */

import type { EncoderConfig } from '../../albert/encoder-config.js';
import { tagConstraints } from '../labels/constraints.js';
import type { TagSet } from '../labels/scheme.js';
import type { NativeEncoderConfig, NativeHeadConfig } from '../native/binding.js';
import type { Vocab } from '../text/vocab.js';

export function nativeEncoderConfig(config: EncoderConfig, vocab: Vocab): NativeEncoderConfig {
  return { ...config, clsId: vocab.clsId, sepId: vocab.sepId };
}

export interface HeadShape {
  featureSize: number;
  /** Per direction. */
  hiddenSize: number;
  dropout: number;
  tagSet: TagSet;
}

export function nativeHeadConfig({ featureSize, hiddenSize, dropout, tagSet }: HeadShape): NativeHeadConfig {
  const { transitions, starts, ends } = tagConstraints(tagSet);
  return {
    featureSize,
    hiddenSize,
    dropout,
    tagCount: tagSet.size,
    tagRoles: tagSet.roles,
    tagLabels: tagSet.labelIndexes,
    allowedTransitions: transitions,
    allowedStarts: starts,
    allowedEnds: ends,
  };
}
