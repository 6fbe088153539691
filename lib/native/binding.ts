/**
 * The types of the native addon: what native/binding exports, and nothing else.
 *
 * Letters: B sequences in a batch, N units in a batch, K tags, D feature width, H hidden size per direction.
 * `offsets` is an Int32Array [B+1] with offsets[0] = 0, non-decreasing, offsets[B] = N. Units never include the
 * special tokens: the encoder adds [CLS] and [SEP] itself and drops their rows again.
 *
 * Every method that returns a promise runs on the session's own thread, first in, first out; arguments are copied
 * before the call returns. Errors are plain Error objects with `code` and `details`; lib/native/load.ts is the
 * only caller and turns them into AlbertNerError.
 */

export interface NativeBuildInfo {
  /** Version of albert-ner the addon was built from. */
  version: string;
  /** libtorch the addon was compiled against and the one loaded now, e.g. "2.15.0". */
  torchCompiled: string;
  torchLoaded: string;
  /** CUDA version of the loaded libtorch, null for a CPU build. */
  cuda: string | null;
  compiler: string;
  /** Source commit, or "unknown" outside a git checkout. */
  commit: string;
  /** That of our kernels: "avx512", "avx2" or "baseline". */
  instructionSet: string;
  napiVersion: number;
}

export type NativeActivation = 'gelu_erf' | 'gelu_tanh' | 'relu' | 'silu';

export interface NativeEncoderConfig {
  layout: 'google' | 'bright';
  vocabSize: number;
  embeddingSize: number;
  hiddenSize: number;
  layerCount: number;
  groupCount: number;
  headCount: number;
  intermediateSize: number;
  activation: NativeActivation;
  layerNormPlacement: 'post' | 'pre';
  layerNormEps: number;
  initializerRange: number;
  maxPosition: number;
  typeVocabSize: number;
  /** Of matrix products and attention; sums between sublayers, layer norms and weights are float32 always. */
  precision: 'float32' | 'bfloat16';
  clsId: number;
  sepId: number;
  /** Hidden states that make the features, side by side: 0 the embeddings, k the output of layer k. */
  featureLayers: Int32Array;
}

export interface NativeHeadConfig {
  /** D: width of one hidden state of the encoder. */
  featureSize: number;
  /** Hidden states in the features; more than one are mixed by learned weights. */
  mixedLayers: number;
  /** H: hidden size per direction. */
  hiddenSize: number;
  /** W: width of an n-gram's row; 0: the head reads features only. */
  ngramWidth: number;
  /** [R]: hashes of the n-grams that have a row, ascending, from `selectNgrams`. */
  ngramKeys: Int32Array;
  /** K */
  tagCount: number;
  /** Probability of dropping an element of the features and of the BiLSTM's output, in [0, 1). Training only. */
  dropout: number;
  /** Probability of reading an n-gram as one without a row, in [0, 1). Training only. */
  ngramDropout: number;
  /** [K]: role of each tag, see ROLE_CODES in lib/labels/scheme.ts. */
  tagRoles: Int32Array;
  /** [K]: index of the tag's label, -1 for O. */
  tagLabels: Int32Array;
  /** [K*K], row i column j: 1 when tag j may follow tag i. */
  allowedTransitions: Uint8Array;
  /** [K]: 1 when a sentence may start with the tag. */
  allowedStarts: Uint8Array;
  /** [K]: 1 when a sentence may end with the tag. */
  allowedEnds: Uint8Array;
}

/** One tensor inside a safetensors file; `begin` and `end` are byte offsets from the start of the file. */
export interface NativeTensorEntry {
  name: string;
  /** I8 goes with a float tensor of scales, one per row, named like it with ".scale" behind. */
  dtype: 'F16' | 'BF16' | 'F32' | 'F64' | 'I8';
  shape: number[];
  begin: number;
  end: number;
}

/**
 * Tensors of a file that was read. The addon checks ranges, shapes and finiteness again; it never parses the header and opens no
 * file, so what was hashed is what it loads.
 */
export interface NativeTensorFile {
  /** For messages. */
  path: string;
  /** All of the file, on shared memory: nothing can detach it while the session's thread reads. */
  bytes: Uint8Array<SharedArrayBuffer>;
  tensors: NativeTensorEntry[];
}

export interface NativeTensor {
  name: string;
  shape: number[];
  /** Row-major values. */
  data: Float32Array;
}

/** Packed units. */
export interface NativeBatch {
  /** [N] vocabulary ids. */
  ids: Int32Array;
  /** [B+1] */
  offsets: Int32Array;
}

export interface NativeNgramRequest extends NativeBatch {
  /** At most so many, the most frequent ones. */
  count: number;
  /** Less frequent ones get no row. */
  minCount: number;
}

export interface NativeTagRequest extends NativeBatch {
  /**
   * [B*2]: for each window the first row kept and the number of rows kept, relative to the window. Overlapping
   * windows keep only their cores. Absent: every row is kept.
   */
  keep?: Int32Array;
  /** [S+1]: CRF sequences over the kept rows; S sequences. Absent: one sequence per window. */
  sequenceOffsets?: Int32Array;
}

/** As NativeTagRequest, from stored features; B windows are B sequences of the store. */
export interface NativeTagFeaturesRequest {
  features: NativeFeatureStore;
  /** [B]: sequence numbers in the feature store. */
  sequences: Int32Array;
  /** [B*2], as in NativeTagRequest. */
  keep?: Int32Array;
  /** [S+1], as in NativeTagRequest. */
  sequenceOffsets?: Int32Array;
}

export interface NativeTagResult {
  /** [M]: best legal tag of each kept row. */
  tags: Int32Array;
  /** [E*4]: sequence, first row, end row (exclusive; both relative to the sequence), label index. In text order. */
  spans: Int32Array;
  /** [E]: posterior probability of exactly that span with that label. */
  spanScores: Float64Array;
  /** [S]: log probability of the best path given the text. */
  pathLogProbabilities: Float64Array;
}

export interface NativeOptimizerConfig {
  kind: 'adam' | 'adamw' | 'lamb';
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Not applied to biases, layer norms and the CRF's transitions. Adam: added to the gradient; else decoupled. */
  weightDecay: number;
  /** Largest Euclidean norm of all gradients together; 0 disables clipping. */
  clipNorm: number;
  /** For "tagger": how many of the encoder's layers, from the top, are trained; all of them: the embeddings, too. */
  encoderLayers?: number;
}

export interface NativeLearningRates {
  encoder: number;
  bilstm: number;
  ngrams: number;
  classifier: number;
  crf: number;
}

export interface NativeAnnotation {
  /** [N]: gold tags. */
  tags: Int32Array;
  /**
   * [B*K]: 1 for tags that a unit tagged O may have as well, since the sequence's corpus doesn't annotate them; the
   * loss sums over all such taggings. Absent: every annotation is complete.
   */
  openTags?: Uint8Array;
}

interface NativeStepSettings {
  learningRates: NativeLearningRates;
  /** Seeds dropout of this step, so that a resumed run repeats it. Integer in [0, 2^53). */
  seed: number;
}

export interface NativeTrainRequest extends NativeAnnotation, NativeStepSettings {
  features: NativeFeatureStore;
  /** [B]: sequence numbers in the feature store. */
  sequences: Int32Array;
}

export interface NativeFineTuneRequest extends NativeBatch, NativeAnnotation, NativeStepSettings {
  /** Probability of dropping an element of the embeddings and of what every sublayer adds, in [0, 1). */
  encoderDropout: number;
}

export interface NativeTrainResult {
  /** Negative log-likelihood in nats, mean per unit of the batch. */
  loss: number;
  /** Euclidean norm of all gradients before clipping. */
  gradientNorm: number;
}

/** Sequences with their special tokens, masked; M rows. Equal lengths side by side are computed together. */
export interface NativePretrainingBatch {
  /** [M] */
  ids: Int32Array;
  /** [M]: 0 in the first segment, 1 in the second. */
  types: Int32Array;
  /** [B]: rows of each sequence, special tokens included. */
  lengths: Int32Array;
  /** [P]: rows to predict, and the ids that stood there. */
  maskedRows: Int32Array;
  maskedIds: Int32Array;
  /** [B]: 0 in order, 1 swapped, -1 not asked. */
  orderLabels: Int32Array;
}

/** Sums over masked rows, and over sequences asked for their order; losses in nats. */
export interface NativePretrainingScores {
  maskedLoss: number;
  maskedCount: number;
  maskedCorrect: number;
  orderLoss: number;
  orderCount: number;
  orderCorrect: number;
  /** Of a step: Euclidean norm of all gradients before clipping. */
  gradientNorm: number;
}

/** A part of the text: documents one after the other. */
export interface NativeFitRequest extends NativeBatch {
  /** Learning rate at the part's begin and end. */
  firstRate: number;
  lastRate: number;
  /** Of the first part counts. */
  seed: number;
  /** What the fit keeps for further parts is freed: tens of megabytes. The next request starts anew. */
  isLast: boolean;
}

export interface NativePretrainingRequest {
  /** Their gradients are added up before the step. */
  batches: readonly NativePretrainingBatch[];
  learningRate: number;
}

/** Cooperative cancellation: polled between batches by the running task, checked before a queued one starts. */
export interface NativeCancelToken {
  cancel(): void;
  /** Test-only: lets a held call go on. */
  _release(): void;
  /** Test-only: how often the call has polled so far; the first time when it starts. */
  _polls(): number;
}

/**
 * Packed features of many sequences, fp16, in one memory-mapped file that is deleted when the store is closed. It belongs to the
 * session that made it; calls of another one reject with ERR_INVALID_ARGUMENT.
 */
export interface NativeFeatureStore {
  /** Sequences appended so far. */
  readonly sequenceCount: number;
  /** Rows appended so far. */
  readonly rowCount: number;
}

export interface NativeSession {
  /** "cpu" or "cuda:0". */
  readonly device: string;
  readonly threads: number;

  /**
   * Random weights by the published initialisation (normal, the config's deviation); equal for equal seeds. With "neighbours"
   * the first heads of every layer attend to the units at distances -1, 1, -2, 2, -3, 3: ERR_INVALID_ARGUMENT for shapes
   * with no room for it. A new encoder ends optimizer, pretraining heads and fits of the one before.
   */
  initEncoder(config: NativeEncoderConfig, seed: number, start?: 'random' | 'neighbours'): Promise<void>;
  /**
   * Reads the encoder's weights under their canonical names (checkpoints of Hugging Face, prefix stripped). Ends the same as
   * initEncoder.
   */
  loadEncoder(config: NativeEncoderConfig, file: NativeTensorFile): Promise<void>;
  initHead(config: NativeHeadConfig, seed: number): Promise<void>;
  loadHead(config: NativeHeadConfig, file: NativeTensorFile): Promise<void>;
  /** Random heads for pretraining the present encoder; equal for equal seeds. */
  initPretraining(seed: number): Promise<void>;
  loadPretraining(file: NativeTensorFile): Promise<void>;
  /** Hashes of the most frequent pairs and triples of units, ascending: `ngramKeys` of a head. */
  selectNgrams(request: NativeNgramRequest): Promise<Int32Array>;
  /**
   * Fits the table of the head's n-grams to a part of the text, by a log-bilinear model of an n-gram given the units
   * around it; further parts go on where the last one ended. One thread. The units are those of the encoder.
   */
  fitNgrams(request: NativeFitRequest, cancel?: NativeCancelToken): Promise<void>;
  /**
   * float32 copies, in a fixed order. "optimizer" holds moments and the step count, "average" the mean of the optimizer's
   * parameters and the number of states it is of.
   */
  exportTensors(part: 'encoder' | 'head' | 'pretraining' | 'optimizer' | 'average'): Promise<NativeTensor[]>;

  /** Features, [N*F] float32 row-major; F = D times the number of feature layers. */
  encode(batch: NativeBatch, cancel?: NativeCancelToken): Promise<Float32Array>;

  /** Creates a store whose file is `path`; the file must not exist. */
  createFeatureStore(path: string): Promise<NativeFeatureStore>;
  /** Encodes the batch and appends one sequence per entry of offsets. */
  appendFeatures(store: NativeFeatureStore, batch: NativeBatch, cancel?: NativeCancelToken): Promise<void>;
  /** Frees the mapping and deletes the file; idempotent. */
  closeFeatureStore(store: NativeFeatureStore): Promise<void>;

  /** For the head, for head and encoder, or for the encoder with its pretraining heads. */
  initOptimizer(part: 'head' | 'tagger' | 'pretraining', config: NativeOptimizerConfig): Promise<void>;
  /** Restores moments and step count exported earlier under "optimizer". Call after initOptimizer. */
  loadOptimizer(file: NativeTensorFile): Promise<void>;
  /** Takes the present state of the optimizer's parameters into their mean. */
  averageWeights(): Promise<void>;
  /**
   * Puts that mean in the weights' place, or the weights back. ERR_INVALID_ARGUMENT before anything was averaged or loaded;
   * and meanwhile steps are, as is all that averages, loads, exports or replaces what belongs to the optimizer.
   */
  useAverage(use: boolean): Promise<void>;
  /** Restores a mean exported earlier under "average". Call after initOptimizer. */
  loadAverage(file: NativeTensorFile): Promise<void>;
  /** Forward, backward, clipping and one optimizer step of the head. */
  trainStep(request: NativeTrainRequest): Promise<NativeTrainResult>;
  /** The same through the encoder. */
  fineTuneStep(request: NativeFineTuneRequest): Promise<NativeTrainResult>;

  /**
   * Fits the word embeddings to a part of the text, by a log-bilinear model of a unit given its neighbours; further
   * parts go on where the last one ended. One thread.
   */
  fitEmbeddings(request: NativeFitRequest, cancel?: NativeCancelToken): Promise<void>;
  /** One step on the mean masked-token loss plus the mean sentence-order loss of all batches together. */
  pretrainStep(request: NativePretrainingRequest): Promise<NativePretrainingScores>;
  /** The same scores without a step. */
  pretrainScores(batch: NativePretrainingBatch, cancel?: NativeCancelToken): Promise<NativePretrainingScores>;

  /** Encoder, BiLSTM and constrained Viterbi decoding with the posterior of every span. */
  tag(request: NativeTagRequest, cancel?: NativeCancelToken): Promise<NativeTagResult>;
  /** The same from stored features, for evaluation during training. */
  tagFeatures(request: NativeTagFeaturesRequest, cancel?: NativeCancelToken): Promise<NativeTagResult>;

  /** Idempotent. Drops the queue (ERR_DISPOSED), waits for the running task, frees on the session's thread. */
  dispose(): Promise<void>;
  /** Test-only: threads that take part in a parallel loop of ours, and those libtorch would take for one of its own. */
  _threadCounts(): Promise<{ ours: number; libtorch: number }>;
}

/** Test-only: a tensor for `_callOp` and `_timeOp`. */
export interface NativeOpTensor {
  dtype: 'float32' | 'float64' | 'int32' | 'int64' | 'bool' | 'float16' | 'bfloat16';
  shape: number[];
  /** float16 and bfloat16 as their bits. */
  data: Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array;
  /** Of an argument: gets no gradient. */
  constant?: boolean;
}

export type NativeOpArgument = NativeOpTensor | NativeOpTensor[] | number | number[] | boolean | null;

export interface NativeAddon {
  buildInfo(): NativeBuildInfo;
  /** Reason why CUDA can't be used here, or null when it can. */
  cudaUnavailableReason(): string | null;
  /**
   * Cancels, drops and joins whatever runs on this environment's sessions; later calls reject with ERR_DISPOSED. For
   * the exit of a process, where the environment isn't freed.
   */
  stopSessions(): void;
  /**
   * device: "auto", "cpu", "cuda" or "cuda:N". threads: 0 = physical cores within the cgroup's quota. Throws ERR_DISPOSED
   * after `stopSessions`.
   */
  Session: new (options: {
    device: string;
    threads: number;
  }) => NativeSession;
  /** `holdAt` is test-only: the call's poll of that number, from 1, waits for `_release` or `cancel`. */
  CancelToken: new (
    holdAt?: number,
  ) => NativeCancelToken;

  /**
   * Test-only. Calls a registered operator ("albert_ner::crf_nll", also "aten::…") synchronously with boxed
   * arguments; tensors, numbers, booleans, null and arrays of tensors. With `gradOutputs` (one per output, null to
   * skip) it also returns the gradients of all floating-point tensor inputs (null where undefined) that aren't constant.
   */
  _callOp(
    name: string,
    args: readonly NativeOpArgument[],
    gradOutputs?: readonly (NativeOpTensor | null)[],
  ): { outputs: NativeOpTensor[]; gradients: (NativeOpTensor | null)[] };
  /**
   * For benchmarks. Calls the same again and again and returns the seconds each call took: operator and gradients, without
   * the conversion of arguments and results. `gradOutputs` null: no gradients.
   */
  _timeOp(
    name: string,
    args: readonly NativeOpArgument[],
    gradOutputs: readonly (NativeOpTensor | null)[] | null,
    options: { threads: number; calls: number },
  ): Float64Array;
  /**
   * Test-only: asynchronous calls of the whole process that aren't freed yet, those of ended workers among them, and how often
   * one was to be settled that already was.
   */
  _taskCounts(): { live: number; settledAgain: number };
  /** Test-only: the CPUs that cgroups grant by the files in `root`, Infinity for no limit. */
  _cgroupCpus(root: string): number;
}
