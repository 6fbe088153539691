import { join } from 'node:path';
import test from 'ava';
import { readEncoderFolder } from '../../lib/model/encoder-folder.js';
import { openSession } from '../../lib/model/load-model.js';
import { nativeEncoderConfig } from '../../lib/model/native-config.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { repoRoot } from '../support/paths.js';

const FOLDER = join(repoRoot, 'models', 'encoder');
/** Each with a gap that its neighbours alone, or what is further away, tell. */
const TEXTS = [
  '中华人民共_国成立于一九四九年。',
  '他毕业于北京大_中文系。',
  '全国人民代_大会在北京召开。',
  '改革开_以来，经济发展很快。',
  '国务院总_出席了会议。',
  '联合国秘书_发表了讲话。',
  '这本书的作_是一位年轻的教师。',
  '今天天_很好，我们去公园。',
  '公安机_已经抓获犯罪嫌疑人。',
  '他们在足球比_中获得冠军。',
];
const GAPS = '和学表放理长者气关赛';

test('the pretrained encoder fills gaps in sentences', async (t) => {
  const { config, vocab, weights, warnings } = await readEncoderFolder(FOLDER);
  t.deepEqual(warnings, []);
  const session = openSession({ device: 'cpu', threads: 1 });
  t.teardown(() => session.dispose());
  await session.loadEncoder(nativeEncoderConfig(config, vocab), weights);
  const { pretrainingWeights: heads } = await readEncoderFolder(FOLDER);
  if (heads === null) return t.fail('the folder has no pretraining heads');
  await session.loadPretraining(heads);
  const tokenizer = new Tokenizer(vocab);
  let right = 0;
  for (const [number, text] of TEXTS.entries()) {
    const ids = [...tokenizer.tokenize(text.replace('_', GAPS[number])).ids];
    const gap = 1 + text.indexOf('_');
    const sequence = [vocab.clsId, ...ids, vocab.sepId];
    const { maskedCorrect } = await session.pretrainScores({
      ids: Int32Array.from(sequence, (id, row) => (row === gap ? vocab.maskId : id)),
      types: new Int32Array(sequence.length),
      lengths: Int32Array.of(sequence.length),
      maskedRows: Int32Array.of(gap),
      maskedIds: Int32Array.of(sequence[gap]),
      orderLabels: Int32Array.of(-1),
    });
    right += maskedCorrect;
  }
  t.true(right >= 8, `${right} of ${TEXTS.length}`);
});
