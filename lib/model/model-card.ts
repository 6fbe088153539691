/** The README.md of a model directory. */

import type { EntityReport } from '../evaluation/entity-f1.js';
import { formatReport } from '../evaluation/report.js';
import type { ModelDescription } from './model-directory.js';

export interface CardFacts {
  description: Omit<ModelDescription, 'weights'>;
  /** Dev scores, if there were dev data. */
  report: EntityReport | null;
  trainSentences: number;
  devSentences: number;
}

/** Markdown: what the model finds, what it was trained on, how it scored, how to use it. */
export function modelCard({ description, report, trainSentences, devSentences }: CardFacts): string {
  const { encoder, head, labels, scheme, text } = description;
  const scores = report
    ? `Strict entity scores on ${devSentences} dev sentences:\n\n\`\`\`\n${formatReport(report)}\n\`\`\`\n`
    : 'Trained without dev data: there are no scores.\n';
  return `# Named-entity model

Finds ${labels.join(', ')} in Chinese text. Trained with albert-ner on ${trainSentences} sentences.

- Encoder: ALBERT (${encoder.layout}), ${encoder.layerCount} layers of ${encoder.hiddenSize}, frozen.
- Head: BiLSTM with ${head.hiddenSize} units per direction, CRF over ${scheme} tags.
- Windows of ${text.maxUnits} characters with ${text.margin} of context; longer text is not cut off.

## Scores

${scores}
## Use

\`\`\`js
import { AlbertNer } from 'albert-ner';

const ner = await AlbertNer.load('path/to/this/folder');
\`\`\`
`;
}
