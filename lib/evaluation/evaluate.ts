/** Scores a tagger on a corpus: strict entities, whole sentences, corpus-level. */

import type { Corpus } from '../data/corpus.js';
import type { LabelledSentence } from '../data/sentences.js';
import { AlbertNerError } from '../errors.js';
import type { Prediction } from '../model/packing.js';
import type { Tagger } from '../model/tagger.js';
import { type EntityReport, EntityScorer } from './entity-f1.js';

export interface EvaluateOptions {
  /** Labels of the model. */
  modelLabels: readonly string[];
  /** Score only these labels; default: those of the model and of the corpus together. */
  labels?: readonly string[];
  signal?: AbortSignal;
  onProgress?: (finishedSentences: number) => void;
}

export interface Evaluation {
  report: EntityReport;
  /** Units the encoder saw. */
  tokens: number;
  /** One per sentence of the corpus, in order. */
  predictions: Prediction[];
}

/**
 * Tags every sentence of the corpus and compares entities: same start, same end, same label. A label only the corpus
 * has counts as missed, since leaving it out would flatter the model; `labels` narrows both sides.
 * Rejects with ERR_INVALID_ARGUMENT when `labels` names one that neither side knows.
 */
export async function evaluateCorpus(
  tagger: Tagger,
  corpus: Corpus,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const known = [...new Set([...options.modelLabels, ...corpus.labels])];
  for (const label of options.labels ?? []) {
    if (!known.includes(label)) {
      throw new AlbertNerError(
        'ERR_INVALID_ARGUMENT',
        `Expected one of ${known.join(', ')} for labels but received ${JSON.stringify(label)}`,
        { details: { option: 'labels' } },
      );
    }
  }
  return evaluateSentences(tagger, corpus.sentences, { ...options, labels: options.labels ?? known });
}

/** The same on sentences, scoring `labels` or, without them, those of the model. */
export async function evaluateSentences(
  tagger: Tagger,
  sentences: readonly LabelledSentence[],
  options: EvaluateOptions,
): Promise<Evaluation> {
  const texts = sentences.map((sentence) => sentence.text);
  const { predictions, units } = await tagger.tag(texts, {
    signal: options.signal,
    onProgress: options.onProgress,
  });
  const scorer = new EntityScorer(options.labels ?? options.modelLabels);
  sentences.forEach((sentence, index) => {
    scorer.add(sentence.spans, predictions[index].entities);
  });
  return { report: scorer.report(), tokens: units, predictions };
}
