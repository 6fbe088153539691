#!/usr/bin/env node
// The demo: tags real sentences with the model that ships, then writes a sample corpus and runs the commands a user would
// type to train a model of their own: training, evaluation, prediction. Everything lands in demo-output/. Needs the bootstrap to have run (`npm run demo` does that).

import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writeConll } from '../dist/lib/data/read-conll.js';
import { generateSampleCorpus } from '../dist/lib/data/sample-corpus.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const output = 'demo-output';

/** For the model that ships. */
const NEWS = [
  '新华社北京5月12日电，国家主席江泽民今天在人民大会堂会见了来访的客人。',
  '中国足球协会主席昨天在广州表示，联赛将于３月１日开幕⚽。',
];

/** For the model that is trained here. */
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
}

run('predict', ...['--html', `${output}/news.html`], ...NEWS.flatMap((text) => ['--text', text]));
run(
  'train',
  ...['--config', 'models/config.yml', '--train', `${output}/train.txt`, '--dev', `${output}/dev.txt`],
  ...['--out', `${output}/model`],
);
run('evaluate', '--model', `${output}/model`, '--data', `${output}/dev.txt`);
run(
  'predict',
  ...['--model', `${output}/model`, '--html', `${output}/entities.html`],
  ...TEXTS.flatMap((text) => ['--text', text]),
);
console.log(`\nPages with the entities: ${output}/news.html and ${output}/entities.html`);

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
