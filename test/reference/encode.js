// Encodes sequences.json of an encoder folder into hidden.f32; compare-with-transformers.py runs it.

import { readFileSync, writeFileSync } from 'node:fs';
import { readEncoderFolder } from '../../dist/lib/model/encoder-folder.js';
import { openSession } from '../../dist/lib/model/load-model.js';
import { nativeEncoderConfig } from '../../dist/lib/model/native-config.js';

const folder = process.argv[2];
const sequences = JSON.parse(readFileSync(`${folder}/sequences.json`, 'utf8'));
const { config, vocab, weights } = await readEncoderFolder(folder);
const session = openSession({ device: 'cpu' });
await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
const offsets = [0];
for (const ids of sequences) offsets.push(offsets.at(-1) + ids.length);
const hidden = await session.encode({
  ids: Int32Array.from(sequences.flat()),
  offsets: Int32Array.from(offsets),
});
writeFileSync(`${folder}/hidden.f32`, hidden);
await session.dispose();
