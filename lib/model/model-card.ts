/** The README.md of a model directory. */

import type { EntityReport } from '../evaluation/entity-f1.js';
import { formatReport } from '../evaluation/report.js';
import type { ModelContent } from './model-directory.js';

/** Markdown: what the model finds, what it was trained on, how it scored, how to use it. */
export function modelCard(description: ModelContent['description']): string {
  const { encoder, head, labels, scheme, text, scores, training } = description;
  const features = {
    '-2': 'the second-to-last layer',
    '-1': 'the last layer',
    mix: 'a learned mix of layers',
  };
  const reports = Object.entries(scores ?? {})
    .map(([name, report]) => `### ${name}\n\n\`\`\`\n${formatReport(report as EntityReport)}\n\`\`\`\n`)
    .join('\n');
  return `# Named-entity model

Finds ${labels.join(', ')} in Chinese text. Trained with albert-ner.

| corpus | training sentences | dev sentences |
| ------ | ------------------ | ------------- |
${(training?.corpora ?? []).map(({ name, train, dev }) => `| ${name} | ${train} | ${dev} |`).join('\n')}

- Encoder: ALBERT (${encoder.layout}), ${encoder.layerCount} layers of ${encoder.hiddenSize}, ${training?.fineTuned ? 'fine-tuned' : 'frozen'}; features: ${features[head.layer]}.
- Head: BiLSTM with ${head.hiddenSize} units per direction, CRF over ${scheme} tags.
- Windows of ${text.maxUnits} characters with ${text.margin} of context; longer text is not cut off.

## Scores

${reports === '' ? 'Trained without dev data: there are no scores.\n' : `Strict entity scores on dev sentences, on the labels a corpus annotates.\n\n${reports}`}
## Use

\`\`\`js
import { AlbertNer } from 'albert-ner';

const ner = await AlbertNer.load('path/to/this/folder');
\`\`\`
`;
}
