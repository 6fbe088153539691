/** The public surface: every name here is documented in the README or where it is declared. Re-exports only. */

export { AlbertNerError, ERROR_CODES, type ErrorCode, type ErrorDetails } from './errors.js';
export { type EntityReport, EntityScorer, type Scores } from './evaluation/entity-f1.js';
export { formatReport } from './evaluation/report.js';
export type { Span } from './labels/spans.js';
export type { LoadOptions } from './model/load-model.js';
export type { ModelDescription } from './model/model-directory.js';
export { AlbertNer, type PredictOptions, type PredictStreamOptions } from './model/ner.js';
export type { Entity, Prediction } from './model/packing.js';
export { type HtmlDocument, renderEntityHtml } from './report/entity-html.js';
