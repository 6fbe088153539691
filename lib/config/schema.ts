/**
 * The settings of training and pretraining: the one source of truth for keys, types, ranges and defaults. Keys of the YAML file are
 * snake_case; a config of the reference implementation (embedding_size, hidden_size, model_path, batch_size,
 * max_length, dropout, tags) is valid as it is.
 */

import { z } from 'zod';
import { CORPUS_FORMATS, type CorpusFormat } from '../data/sentences.js';
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
  encoder: rate.nullable().default(null),
  bilstm: rate.nullable().default(null),
  ngrams: rate.nullable().default(null),
  classifier: rate.nullable().default(null),
  crf: rate.nullable().default(null),
});

const format = z.enum(['auto', ...CORPUS_FORMATS]);

const corpus = z
  .strictObject({
    name: z.string().regex(/^\S+$/).nullable().default(null),
    data: path,
    dev: path.nullable().default(null),
    dev_every: z.int().min(2).nullable().default(null),
    format: format.default('auto'),
    labels: z.record(z.string(), z.string().regex(/^\S+$/).nullable()).default({}),
    unannotated: z.array(z.string()).default([]),
    repeat: positive.default(1),
    epochs: count.nullable().default(null),
    ngrams: z.boolean().default(true),
  })
  .refine(({ epochs, ngrams }) => epochs !== 0 || ngrams, {
    path: ['ngrams'],
    message: 'Expected true for a corpus of no epoch, which does nothing else',
  });

/** Of an n-gram's row; the addon takes no more. */
export const MAX_NGRAM_WIDTH = 4096;

const ngrams = z
  .strictObject({
    size: count.default(0),
    width: positive.max(MAX_NGRAM_WIDTH).default(32),
    min_count: positive.default(3),
    dropout: z.number().min(0).lt(1).default(0),
    text: z.array(path).default([]),
  })
  .refine(({ size, text }) => size > 0 || text.length === 0, {
    path: ['text'],
    message: 'Expected none while ngrams.size is 0',
  });

const train = z.strictObject({
  data: path.nullable().default(null),
  dev: path.nullable().default(null),
  format: format.default('auto'),
  corpora: z.array(corpus).default([]),
  finetune: z.union([z.enum(['none', 'full']), z.string().regex(/^top-[1-9]\d?$/)]).default('none'),
  encoder_dropout: z.number().min(0).lt(1).default(0.1),
  word_dropout: z.number().min(0).lt(1).default(0),
  epochs: positive.default(10),
  optimizer: z.enum(['adamw', 'adam']).default('adamw'),
  learning_rate: rate.default(0.002),
  learning_rates: learningRates.prefault({}),
  precision: z.enum(['auto', 'float32', 'bfloat16']).default('auto'),
  weight_decay: rate.default(0.0005),
  clip_norm: rate.default(5),
  warmup_ratio: z.number().min(0).max(1).default(0.05),
  decay: z.enum(['linear', 'none']).default('linear'),
  average_ratio: z.number().min(0).lt(1).default(0),
  patience: count.default(0),
  keep: z.enum(['best', 'last']).default('best'),
  eval_every_steps: count.default(0),
});

const pretrain = z.strictObject({
  steps: count.default(10_000),
  batch_units: positive.default(4096),
  accumulate: positive.default(1),
  max_length: z.int().min(16).default(128),
  embedding_passes: count.default(0),
  attention_start: z.enum(['neighbours', 'random']).default('neighbours'),
  mask_share: z.number().gt(0).max(0.8).default(0.15),
  optimizer: z.enum(['adamw', 'lamb']).default('adamw'),
  learning_rate: rate.default(0.001),
  beta2: z.number().min(0).lt(1).default(0.98),
  precision: z.enum(['auto', 'float32', 'bfloat16']).default('auto'),
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
  layer: z.union([z.literal(-2), z.literal(-1), z.literal('mix')]).default(-2),
  tags: z
    .preprocess(toLabels, z.array(z.string().regex(/^\S+$/)).min(1))
    .nullable()
    .default(null),
  scheme: z.enum(['BIO', 'BIOES']).default('BIO'),
  ngrams: ngrams.prefault({}),
  storage: z.enum(['float32', 'float16', 'int8']).default('float32'),
  seed: z.int().min(0).default(1),
  device: z.string().default('auto'),
  threads: z.int().min(0).max(1024).default(0),
  train: train.prefault({}),
  pretrain: pretrain.prefault({}),
});

/** Settings as the file has them, complete. */
export type FileConfig = z.output<typeof configSchema>;

/** Dtype of safetensors files for each kind of storage. */
export const STORED_DTYPES = { float32: 'F32', float16: 'F16', int8: 'I8' } as const;

/** Of the encoder's matrix products and attention. */
export type Precision = 'float32' | 'bfloat16';

/** Which hidden states are the features: the second-to-last layer's, the last one's, or a learned mix of all. */
export type FeatureLayer = -2 | -1 | 'mix';

/** A corpus to train on. */
export interface CorpusConfig {
  /** For reports; default from the path. */
  name: string | null;
  data: string;
  dev: string | null;
  /** Every n-th sentence of `data` is dev, when there is no `dev`. */
  devEvery: number | null;
  format: 'auto' | CorpusFormat;
  /** Labels of the corpus to labels of the model; null drops one. */
  labels: Record<string, string | null>;
  /** Labels of the model that this corpus doesn't annotate: its O says nothing about them. */
  unannotated: string[];
  /** Times its sentences are used in an epoch. */
  repeat: number;
  /** It takes part in so many epochs, from the first; null: in all, 0: it only says which n-grams there are. */
  epochs: number | null;
  /** Its sentences count when the n-grams that get embeddings are chosen. */
  ngrams: boolean;
}

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
  /** The encoder's layer the features come from. */
  layer: FeatureLayer;
  /** Labels a corpus may use; null: those of the training corpus. */
  tags: string[] | null;
  scheme: 'BIO' | 'BIOES';
  /** Pairs and triples of characters whose embeddings the BiLSTM reads beside the features; size 0: none. */
  ngrams: {
    /** The most frequent ones of the training sentences, at most so many. */
    size: number;
    width: number;
    /** Occurrences below which none is taken. */
    minCount: number;
    /** Probability of reading an n-gram as one that has no embedding, in training. */
    dropout: number;
    /** Files and folders of plain text that the embeddings are fitted to first. */
    text: string[];
  };
  /** How weights are stored; prediction computes in float32 always. */
  storage: 'float32' | 'float16' | 'int8';
  seed: number;
  device: string;
  /** 0: as many as there are physical cores. */
  threads: number;
  train: {
    /** What to train on: `data` and `dev` of the file, or its `corpora`. */
    corpora: CorpusConfig[];
    /** Layers of the encoder that are trained, from the top; 0: frozen, Infinity: all and the embeddings. */
    tunedLayers: number;
    encoderDropout: number;
    /** Probability of reading a unit as [UNK] in training. */
    wordDropout: number;
    epochs: number;
    optimizer: 'adamw' | 'adam';
    learningRates: { encoder: number; bilstm: number; ngrams: number; classifier: number; crf: number };
    /** Of the encoder when it is trained; auto: bfloat16 on CUDA, float32 elsewhere. */
    precision: 'auto' | Precision;
    weightDecay: number;
    /** 0: no clipping. */
    clipNorm: number;
    /** Share of the steps spent warming up. */
    warmupRatio: number;
    decay: 'linear' | 'none';
    /** Share of the steps, the last ones, whose weights a model is the mean of, so far; 0: the weights of one step. */
    averageRatio: number;
    /** Evaluations without a better dev score before stopping; 0: never. */
    patience: number;
    keep: 'best' | 'last';
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
    /** Passes over the text that fit the word embeddings before the first step. */
    embeddingPasses: number;
    /** What attention does before the first step: its first heads read the neighbours of a unit, or all are random. */
    attentionStart: 'neighbours' | 'random';
    /** Share of the units that are masked. */
    maskShare: number;
    optimizer: 'adamw' | 'lamb';
    learningRate: number;
    beta2: number;
    /** auto: bfloat16 on CUDA, float32 elsewhere. */
    precision: 'auto' | Precision;
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

/** Of the encoder's learning rate to that of the head: a pretrained encoder wants small steps. */
const ENCODER_RATE = 0.1;

function toCorpora(train: FileConfig['train']): CorpusConfig[] {
  const { data, dev, format } = train;
  const single = {
    name: null,
    dev_every: null,
    labels: {},
    unannotated: [],
    repeat: 1,
    epochs: null,
    ngrams: true,
  };
  const corpora = data === null ? train.corpora : [{ ...single, data, dev, format }, ...train.corpora];
  return corpora.map(({ dev_every: devEvery, ...corpus }) => ({ ...corpus, devEvery }));
}

function toTunedLayers(finetune: string): number {
  if (finetune === 'none') return 0;
  return finetune === 'full' ? Number.POSITIVE_INFINITY : Number(finetune.slice('top-'.length));
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
    layer: file.layer,
    tags: file.tags,
    scheme: file.scheme,
    ngrams: {
      size: file.ngrams.size,
      width: file.ngrams.width,
      minCount: file.ngrams.min_count,
      dropout: file.ngrams.dropout,
      text: file.ngrams.text,
    },
    storage: file.storage,
    seed: file.seed,
    device: file.device,
    threads: file.threads,
    train: {
      corpora: toCorpora(t),
      tunedLayers: toTunedLayers(t.finetune),
      encoderDropout: t.encoder_dropout,
      wordDropout: t.word_dropout,
      epochs: t.epochs,
      optimizer: t.optimizer,
      learningRates: {
        encoder: t.learning_rates.encoder ?? base * ENCODER_RATE,
        bilstm: t.learning_rates.bilstm ?? base,
        ngrams: t.learning_rates.ngrams ?? t.learning_rates.bilstm ?? base,
        classifier: t.learning_rates.classifier ?? base,
        crf: t.learning_rates.crf ?? base,
      },
      precision: t.precision,
      weightDecay: t.weight_decay,
      clipNorm: t.clip_norm,
      warmupRatio: t.warmup_ratio,
      decay: t.decay,
      averageRatio: t.average_ratio,
      patience: t.patience,
      keep: t.keep,
      evalEverySteps: t.eval_every_steps,
    },
    pretrain: {
      steps: p.steps,
      batchUnits: p.batch_units,
      accumulate: p.accumulate,
      maxLength: p.max_length,
      embeddingPasses: p.embedding_passes,
      attentionStart: p.attention_start,
      maskShare: p.mask_share,
      optimizer: p.optimizer,
      learningRate: p.learning_rate,
      beta2: p.beta2,
      precision: p.precision,
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
