/**
 * The settings of training and pretraining: the one source of truth for keys, types, ranges and defaults. Keys of the YAML file are
 * snake_case; a config of the reference implementation (embedding_size, hidden_size, model_path, batch_size,
 * max_length, dropout, tags) is valid as it is.
 */

import { z } from 'zod';
import { parseTag } from '../labels/scheme.js';

const count = z.int().min(0);
const positive = z.int().positive();
const rate = z.number().min(0);
const path = z.string().min(1);

/** Tag names of other tools that stand for no label. */
const NO_LABEL = new Set(['O', '[PAD]', '[CLS]', '[SEP]', 'START', 'END']);

/** Labels from a list of labels or of tags (B_PER), or from a mapping of tags to numbers. */
function toLabels(value: unknown): unknown {
  const names =
    typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : value;
  if (!Array.isArray(names)) return value;
  const labels = names
    .filter((name) => !NO_LABEL.has(name))
    .map((name) => (typeof name === 'string' ? (parseTag(name)?.label ?? name) : name));
  return [...new Set(labels)];
}

const learningRates = z.strictObject({
  bilstm: rate.nullable().default(null),
  classifier: rate.nullable().default(null),
  crf: rate.nullable().default(null),
});

const train = z.strictObject({
  data: path.nullable().default(null),
  dev: path.nullable().default(null),
  format: z.enum(['auto', 'conll', 'pair']).default('auto'),
  epochs: positive.default(10),
  optimizer: z.enum(['adamw', 'adam']).default('adamw'),
  learning_rate: rate.default(0.002),
  learning_rates: learningRates.prefault({}),
  weight_decay: rate.default(0.0005),
  clip_norm: rate.default(5),
  warmup_ratio: z.number().min(0).max(1).default(0.05),
  decay: z.enum(['linear', 'none']).default('linear'),
  patience: count.default(0),
  eval_every_steps: count.default(0),
});

const pretrain = z.strictObject({
  steps: count.default(10_000),
  batch_units: positive.default(4096),
  accumulate: positive.default(1),
  max_length: z.int().min(16).default(128),
  optimizer: z.enum(['adamw', 'lamb']).default('adamw'),
  learning_rate: rate.default(0.001),
  beta2: z.number().min(0).lt(1).default(0.98),
  weight_decay: rate.default(0.01),
  clip_norm: rate.default(1),
  warmup_steps: count.default(500),
  decay_steps: count.default(2000),
  held_out_sequences: positive.default(512),
  eval_every: positive.default(500),
  save_every: positive.default(500),
  report_every: positive.default(50),
});

export const configSchema = z.strictObject({
  encoder: path.nullable().default(null),
  embedding_size: positive.nullable().default(null),
  hidden_size: z.int().positive().multipleOf(2).default(128),
  model_path: path.nullable().default(null),
  batch_size: positive.default(64),
  max_length: z.int().min(3).default(128),
  window_margin: count.default(16),
  dropout: z.number().min(0).lt(1).default(0.5),
  tags: z
    .preprocess(toLabels, z.array(z.string().regex(/^\S+$/)).min(1))
    .nullable()
    .default(null),
  scheme: z.enum(['BIO', 'BIOES']).default('BIO'),
  seed: z.int().min(0).default(1),
  device: z.string().default('auto'),
  threads: z.int().min(0).max(1024).default(0),
  train: train.prefault({}),
  pretrain: pretrain.prefault({}),
});

/** Settings as the file has them, complete. */
export type FileConfig = z.output<typeof configSchema>;

/** Settings as the code uses them. */
export interface Config {
  /** Encoder folder. */
  encoder: string | null;
  /** Expected width of the encoder, only checked. */
  embeddingSize: number | null;
  /** Hidden size of the BiLSTM, both directions together. */
  hiddenSize: number;
  /** Model directory to write. */
  modelPath: string | null;
  /** Sequences per step. */
  batchSize: number;
  /** Positions of a window, [CLS] and [SEP] included. */
  maxLength: number;
  /** Units of context on each side where a line must be cut. */
  windowMargin: number;
  dropout: number;
  /** Labels a corpus may use; null: those of the training corpus. */
  tags: string[] | null;
  scheme: 'BIO' | 'BIOES';
  seed: number;
  device: string;
  /** 0: as many as there are physical cores. */
  threads: number;
  train: {
    data: string | null;
    dev: string | null;
    format: 'auto' | 'conll' | 'pair';
    epochs: number;
    optimizer: 'adamw' | 'adam';
    learningRates: { bilstm: number; classifier: number; crf: number };
    weightDecay: number;
    /** 0: no clipping. */
    clipNorm: number;
    /** Share of the steps spent warming up. */
    warmupRatio: number;
    decay: 'linear' | 'none';
    /** Evaluations without a better dev score before stopping; 0: never. */
    patience: number;
    /** Evaluate within epochs, too; 0: only after each. */
    evalEverySteps: number;
  };
  pretrain: {
    steps: number;
    /** Units of a batch, special tokens included. */
    batchUnits: number;
    /** Batches whose gradients make one step. */
    accumulate: number;
    /** Longest sequence, special tokens included. */
    maxLength: number;
    optimizer: 'adamw' | 'lamb';
    learningRate: number;
    beta2: number;
    weightDecay: number;
    clipNorm: number;
    warmupSteps: number;
    /** Last steps, over which the learning rate falls to zero. */
    decaySteps: number;
    heldOutSequences: number;
    /** All in steps. */
    evalEvery: number;
    saveEvery: number;
    reportEvery: number;
  };
}

export function toConfig(file: FileConfig): Config {
  const { train: t, pretrain: p } = file;
  const base = t.learning_rate;
  return {
    encoder: file.encoder,
    embeddingSize: file.embedding_size,
    hiddenSize: file.hidden_size,
    modelPath: file.model_path,
    batchSize: file.batch_size,
    maxLength: file.max_length,
    windowMargin: file.window_margin,
    dropout: file.dropout,
    tags: file.tags,
    scheme: file.scheme,
    seed: file.seed,
    device: file.device,
    threads: file.threads,
    train: {
      data: t.data,
      dev: t.dev,
      format: t.format,
      epochs: t.epochs,
      optimizer: t.optimizer,
      learningRates: {
        bilstm: t.learning_rates.bilstm ?? base,
        classifier: t.learning_rates.classifier ?? base,
        crf: t.learning_rates.crf ?? base,
      },
      weightDecay: t.weight_decay,
      clipNorm: t.clip_norm,
      warmupRatio: t.warmup_ratio,
      decay: t.decay,
      patience: t.patience,
      evalEverySteps: t.eval_every_steps,
    },
    pretrain: {
      steps: p.steps,
      batchUnits: p.batch_units,
      accumulate: p.accumulate,
      maxLength: p.max_length,
      optimizer: p.optimizer,
      learningRate: p.learning_rate,
      beta2: p.beta2,
      weightDecay: p.weight_decay,
      clipNorm: p.clip_norm,
      warmupSteps: p.warmup_steps,
      decaySteps: p.decay_steps,
      heldOutSequences: p.held_out_sequences,
      evalEvery: p.eval_every,
      saveEvery: p.save_every,
      reportEvery: p.report_every,
    },
  };
}
