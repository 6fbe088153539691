/** Writes two model directories, one after the other, into the same place. */

import { join } from 'node:path';
import { canonicalTensors } from '../../../albert/name-map.js';
import { readEncoderFolder } from '../../../lib/model/encoder-folder.js';
import { ENCODER_PREFIX, writeModelDirectory } from '../../../lib/model/model-directory.js';
import { repoRoot } from '../../support/paths.js';

const { config, vocab } = await readEncoderFolder(
  join(repoRoot, 'test', 'fixtures', 'albert', 'google-gelu'),
);
for (const fill of [0, 1]) {
  const tensor = (name: string, shape: number[]) => ({
    name,
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill),
  });
  await writeModelDirectory(process.argv[2], {
    description: {
      ...{
        encoder: config,
        head: { hiddenSize: 4, dropout: 0, layer: -2 as const, ngramWidth: 0 },
        labels: ['A'],
        scheme: 'BIO',
      },
      ...{ text: { maxUnits: 9, margin: 2 }, scores: null, training: { fill } },
    },
    vocab,
    tensors: [
      ...[...canonicalTensors(config)].map(([name, shape]) => tensor(ENCODER_PREFIX + name, shape)),
      tensor('crf.end_transitions', [3]),
    ],
    card: '',
  });
}
