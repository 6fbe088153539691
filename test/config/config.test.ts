import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { formatSettings, loadConfig } from '../../lib/config/load-config.js';
import { AlbertNerError } from '../../lib/errors.js';
import { repoRoot, temporaryFolder } from '../support/paths.js';

async function fileWith(t: ExecutionContext, text: string): Promise<string> {
  const file = join(await temporaryFolder(t), 'config.yml');
  await writeFile(file, text);
  return file;
}

async function refusal(options: Parameters<typeof loadConfig>[0]): Promise<AlbertNerError> {
  try {
    await loadConfig(options);
  } catch (error) {
    if (error instanceof AlbertNerError) return error;
    throw error;
  }
  throw new Error('Expected a rejection');
}

test('a config of the reference implementation is valid as it stands', async (t) => {
  const text =
    'embedding_size: 768\nhidden_size: 128\nmodel_path: models/\nbatch_size: 64\nmax_length: 128\ndropout: 0.5\n' +
    'tags:\n  - ORG\n  - PER\n  - LOC\n  - T\n';
  const file = await fileWith(t, text);
  const { config } = await loadConfig({ file });
  t.like(config, { embeddingSize: 768, hiddenSize: 128, batchSize: 64, maxLength: 128, dropout: 0.5 });
  t.deepEqual(config.tags, ['ORG', 'PER', 'LOC', 'T']);
  t.is(config.modelPath, join(file, '..', 'models'));
});

test('labels are read from lists of tags and from tag maps', async (t) => {
  for (const tags of [
    '[O, B_PER, I_PER, B_LOC, I_LOC, "[CLS]"]',
    '{B_PER: 0, I_PER: 1, B_LOC: 2, O: 3, START: 4}',
    '[PER, LOC]',
  ]) {
    t.deepEqual((await loadConfig({ set: [`tags=${tags}`] })).config.tags, ['PER', 'LOC'], tags);
  }
});

test('the shipped config and the defaults load', async (t) => {
  const { config } = await loadConfig({ file: join(repoRoot, 'models', 'config.yml') });
  t.deepEqual(config.tags, ['ORG', 'PER', 'LOC', 'T']);
  t.is((await loadConfig({})).config.train.epochs, 10);
});

test('later overrides win, and learning rates follow the common one unless given', async (t) => {
  const file = await fileWith(t, 'train:\n  learning_rate: 0.5\n');
  const set = ['train.learning_rate=3e-5', 'train.learning_rates.crf=0.1', 'batch_size=8', 'batch_size=9'];
  const { config } = await loadConfig({ file, set });
  t.is(config.batchSize, 9);
  const { encoder, ...head } = config.train.learningRates;
  t.deepEqual(head, { bilstm: 3e-5, ngrams: 3e-5, classifier: 3e-5, crf: 0.1 });
  t.true(Math.abs(encoder - 3e-6) < 1e-12);
});

test('resolved settings load to the same settings', async (t) => {
  const first = await loadConfig({
    set: ['tags=[A, B]', 'train.data=/data/x.txt', 'encoder=/e', 'train.patience=3'],
  });
  const again = await loadConfig({ file: await fileWith(t, formatSettings(first.settings)) });
  t.deepEqual(again.config, first.config);
});

test('unknown keys are refused with file, line and the key that was meant', async (t) => {
  const file = await fileWith(t, '# a comment\nbatch_size: 4\ntrain:\n  epochs: 3\n  learning_rat: 1\n');
  const error = await refusal({ file });
  t.is(error.code, 'ERR_INVALID_CONFIG');
  t.deepEqual(error.details, { option: 'train.learning_rat', file, line: 5 });
  t.regex(error.message, /config\.yml:5.*did you mean learning_rate\?/);
  t.is((await refusal({ set: ['tasg=[A]'] })).details.option, 'tasg');
  t.regex((await refusal({ set: ['tasg=[A]'] })).message, /did you mean tags\?/);
});

test('wrong types and ranges are refused with the line and what was expected', async (t) => {
  for (const [key, value] of [
    ['hidden_size', '127'],
    ['batch_size', 'many'],
    ['batch_size', '0'],
    ['dropout', '1'],
    ['scheme', 'BILOU'],
    ['seed', '-1'],
    ['tags', '[]'],
    ['tags', '[1]'],
    ['max_length', '2'],
  ]) {
    const error = await refusal({ file: await fileWith(t, `\n${key}: ${value}\n`) });
    t.is(error.code, 'ERR_INVALID_CONFIG');
    t.is(error.details.line, 2, `${key}: ${value}`);
    t.true(String(error.details.option).startsWith(key));
  }
});

test('text for n-grams is refused where there are no n-grams', async (t) => {
  const text = 'ngrams:\n  width: 8\n  text: [news.txt]\n';
  const file = await fileWith(t, text);
  const error = await refusal({ file });
  t.is(error.code, 'ERR_INVALID_CONFIG');
  t.deepEqual(error.details, { option: 'ngrams.text', file, line: 3 });
  t.regex(error.message, /ngrams\.text: Expected none while ngrams\.size is 0/);
  t.is((await refusal({ set: ['ngrams.text=[news.txt]'] })).details.option, 'ngrams.text');
  const { config } = await loadConfig({ file, set: ['ngrams.size=10'] });
  t.deepEqual(config.ngrams.text, [join(file, '..', 'news.txt')]);
  t.is((await refusal({ file: await fileWith(t, `${text}  size: 0\n`) })).details.line, 3);
});

test('broken YAML, duplicate keys, lists and missing files are refused with their place', async (t) => {
  t.is((await refusal({ file: await fileWith(t, 'a: 1\nb: [1\n') })).code, 'ERR_INVALID_CONFIG');
  t.is((await refusal({ file: await fileWith(t, 'seed: 1\nseed: 2\n') })).details.line, 2);
  t.is((await refusal({ file: await fileWith(t, '- a\n- b\n') })).code, 'ERR_INVALID_CONFIG');
  t.is((await refusal({ file: join(await temporaryFolder(t), 'none.yml') })).code, 'ERR_INVALID_CONFIG');
  for (const set of ['seed', '=1', 'a..b=1', '__proto__.x=1'])
    t.is((await refusal({ set: [set] })).code, 'ERR_INVALID_CONFIG');
  t.is(({} as { x?: unknown }).x, undefined);
});
