#!/usr/bin/env node
// The demo: writes a sample corpus, then runs the commands a user would type: an encoder, training, evaluation and
// prediction. Everything lands in demo-output/. Needs the bootstrap to have run (`npm run demo` does that).

import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writeConll } from '../dist/lib/data/read-conll.js';
import { generateSampleCorpus } from '../dist/lib/data/sample-corpus.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const output = 'demo-output';

const TEXTS = [
  '王小明在北京工作😀，李思雨昨天去了上海。',
  '２０２４年３月５日，ＡＢＣ科技公司的张伟到深圳大学演讲。',
  'CEO李明 will meet 华星集团 in 杭州 next week 👍，下午3点开始。',
  '今天天气不错。',
];

rmSync(`${root}/${output}`, { recursive: true, force: true });
mkdirSync(`${root}/${output}`, { recursive: true });
for (const [part, sentences] of [
  ['train', 4000],
  ['dev', 200],
]) {
  const corpus = generateSampleCorpus({ seed: 1, sentences, part });
  writeFileSync(`${root}/${output}/${part}.txt`, writeConll(corpus));
  writeFileSync(`${root}/${output}/${part}.plain.txt`, corpus.map(({ text }) => `${text}\n`).join(''));
}

run(
  'pretrain',
  '--steps',
  '0',
  '--text',
  `${output}/train.plain.txt`,
  '--text',
  `${output}/dev.plain.txt`,
  '--out',
  `${output}/encoder`,
);
run(
  'train',
  ...['--config', 'models/config.yml', '--train', `${output}/train.txt`, '--dev', `${output}/dev.txt`],
  ...['--encoder', `${output}/encoder`, '--out', `${output}/model`],
);
run('evaluate', '--model', `${output}/model`, '--data', `${output}/dev.txt`);
run(
  'predict',
  ...['--model', `${output}/model`, '--html', `${output}/entities.html`],
  ...TEXTS.flatMap((text) => ['--text', text]),
);
console.log(`\nThe page with the entities: ${output}/entities.html`);

function run(...args) {
  console.log(
    `\n$ npx albert-ner ${args.map((arg) => (/[^\w./=-]/.test(arg) ? `'${arg}'` : arg)).join(' ')}`,
  );
  const { status } = spawnSync(process.execPath, ['scripts/albert-ner.js', ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}
