#!/usr/bin/env node
// Writes the corpora of a config as a teacher reads them: the sequences a tagger would learn from, with characters in place
// of vocabulary ids, so that both see the same rows and tags.
//
//   node scripts/teacher/export-corpora.js --config FILE [--without NAME ...] --out DIR
//
// --config   settings with train.corpora; the paths in them are relative to the file
// --without  names of corpora to leave out
// --out      folder for corpora.json (tags; name, repeat, epochs and open tags of each corpus), train.jsonl and dev.jsonl:
//            {"corpus", "text", "tags"}, the number of a tag for each code point of the text

import { createWriteStream } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { loadConfig } from '../../dist/lib/config/load-config.js';
import { taggedPieces } from '../../dist/lib/data/examples.js';
import { writeFileAtomic } from '../../dist/lib/files.js';
import { DEFAULT_MODEL } from '../../dist/lib/model/load-model.js';
import { Tokenizer } from '../../dist/lib/text/tokenizer.js';
import { prepareRun } from '../../dist/lib/training/prepare.js';

/** Longest pieces: of training sentences, whose cost grows with them, and of dev sentences, which are to stay whole. */
const MOST_UNITS = { train: 254, dev: 510 };

const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    without: { type: 'string', multiple: true, default: [] },
    out: { type: 'string' },
  },
});
for (const option of ['config', 'out']) {
  if (values[option] !== undefined) continue;
  console.error(`error: Expected a path for --${option} but received none`);
  process.exit(2);
}

const { config } = await loadConfig({ file: values.config });
config.train.corpora = config.train.corpora.filter(({ name }) => !values.without.includes(name));
// The vocabulary decides nothing here: which code points are units doesn't depend on it.
const { corpora, encoder, tagSet } = await prepareRun({ config, encoder: DEFAULT_MODEL });
const tokenizer = new Tokenizer(encoder.vocab);
await mkdir(values.out, { recursive: true });
for (const part of ['train', 'dev']) {
  const file = join(values.out, `${part}.jsonl`);
  await pipeline(rows(part), createWriteStream(`${file}.tmp`));
  await rename(`${file}.tmp`, file);
}
const description = {
  tags: tagSet.tags,
  corpora: corpora.map(({ name, labels, openTags }, index) => ({
    name,
    labels,
    open: openTags === null ? [] : [...openTags.keys()].filter((tag) => openTags[tag] === 1),
    repeat: config.train.corpora[index].repeat,
    epochs: config.train.corpora[index].epochs,
  })),
};
await writeFileAtomic(join(values.out, 'corpora.json'), `${JSON.stringify(description, null, 2)}\n`);

function* rows(part) {
  for (const [corpus, { name, [part]: sentences }] of corpora.entries()) {
    let count = 0;
    for (const sentence of sentences) {
      for (const { units, tags } of taggedPieces(sentence, tokenizer, tagSet, MOST_UNITS[part])) {
        const characters = Array.from(units.starts, (start) => character(sentence.text, start));
        yield `${JSON.stringify({ corpus, text: characters.join(''), tags: [...tags] })}\n`;
        count += 1;
      }
    }
    console.log(`${name}: ${count} sequences of ${part}`);
  }
}

/** A lone surrogate can't be written as UTF-8. */
function character(text, start) {
  const codePoint = text.codePointAt(start);
  return codePoint >= 0xd800 && codePoint <= 0xdfff ? '\ufffd' : String.fromCodePoint(codePoint);
}
