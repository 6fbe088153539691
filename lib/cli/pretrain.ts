/** `albert-ner pretrain`: an encoder folder from plain text, or with --steps 0 one with random weights. */

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { EncoderConfig } from '../../albert/encoder-config.js';
import { AlbertNerError } from '../errors.js';
import { FOLDER_MARKS } from '../model/encoder-folder.js';
import type { Vocab } from '../text/vocab.js';
import { addCommonOptions, commonSettings, type GlobalOptions, integerFrom } from './common-options.js';
import { encoderFolder } from './encoder-option.js';
import { checkOtherFolder, checkOutputFolder, checkReplaced } from './output-target.js';
import { type CommandContext, runAction } from './run.js';

interface PretrainCommandOptions extends GlobalOptions {
  config?: string;
  encoderConfig?: string;
  vocab?: string;
  text?: string[];
  tokens?: string;
  from?: string;
  steps?: number;
  stopAfter?: number;
  resume?: boolean;
  overwrite?: boolean;
  out: string;
}

export function register(program: Command): void {
  const command = program
    .command('pretrain')
    .alias('init')
    .summary('pretrain an encoder on plain text')
    .description(
      'Makes an encoder folder (config.json, vocab.txt, model.safetensors) that train and transformers load: masked ' +
        'language model with n-gram masks and sentence-order prediction. With --steps 0 the weights are random. ' +
        'Ctrl-C saves and exits with 130.',
    )
    .requiredOption('--out <dir>', 'encoder folder to write')
    .option(
      '--text <path...>',
      'text: files (.txt, .txt.gz, .txt.xz), a paragraph a line, or folders of them',
    )
    .option('--vocab <file>', 'vocab.txt to use (default: built from the text)')
    .option(
      '--encoder-config <name>',
      'a name in albert/configs or a JSON file (default: that of --from, else mini)',
    )
    .option(
      '--from <dir>',
      'encoder folder, or a checkpoint that convert takes, to start from instead of random weights',
    )
    .option('--steps <n>', 'steps of the whole run; overrides pretrain.steps', integerFrom(0))
    .option('--stop-after <step>', 'stop and save after this step of the run; resume later', integerFrom(1))
    .option('--resume', 'continue from the last checkpoint in the encoder folder')
    .option('--overwrite', 'begin anew in a folder that holds an encoder or a run')
    .option('--tokens <dir>', 'folder for the text as ids (default: inside the encoder folder)')
    .option('--config <file>', 'settings in YAML, see pretrain: there');
  addCommonOptions(command);
  command.action((options: PretrainCommandOptions) => runAction(options, (context) => run(options, context)));
}

async function run(given: PretrainCommandOptions, context: CommandContext): Promise<undefined> {
  checkReplaced('--out', given.out, given, {
    what: 'an encoder or a run',
    marks: [...FOLDER_MARKS, join('training', 'last.safetensors')],
  });
  if (given.from !== undefined) checkOtherFolder('--out', given.out, '--from', given.from);
  await checkOutputFolder('--out', given.out);
  await checkOutputFolder('--out', join(given.out, 'training'));
  if (given.tokens !== undefined) await checkOutputFolder('--tokens', given.tokens);
  const from = given.from === undefined ? undefined : await encoderFolder(given.from, context);
  const options = { ...given, from };
  const { loadConfig } = await import('../config/load-config.js');
  const set = commonSettings(options);
  if (options.steps !== undefined) set.push(`pretrain.steps=${options.steps}`);
  const loaded = await loadConfig({ file: options.config, set });
  const preset = await chooseShape(options);
  const vocab = await chooseVocab(options, context);
  if (loaded.config.pretrain.steps === 0) {
    const { initEncoder } = await import('../training/init-encoder.js');
    const { seed } = loaded.config;
    const config = await initEncoder({ config: preset, vocab, seed, output: options.out });
    context.stdout.write(
      context.json
        ? `${JSON.stringify({ directory: options.out, config })}\n`
        : `encoder: ${options.out} (random weights, ${config.layerCount} layers of ${config.hiddenSize}, ` +
            `${vocab.size} vocabulary entries)\n`,
    );
    return;
  }
  if (!options.text) throw missing('--text', 'text to pretrain on');
  const [
    { pretrain, pretrainingFiles },
    { tensorBoardListener, writePretrainingPage },
    { metricsWriter },
    { formatSettings },
    { writeFileAtomic },
    progress,
  ] = await Promise.all([
    import('../pretraining/pretrainer.js'),
    import('../pretraining/records.js'),
    import('../training/metrics.js'),
    import('../config/load-config.js'),
    import('../files.js'),
    import('./pretrain-progress.js'),
  ]);
  const files = pretrainingFiles(options.out);
  await mkdir(files.folder, { recursive: true });
  await writeFileAtomic(files.config, formatSettings(loaded.settings));
  const record = metricsWriter(files.metrics);
  const board = tensorBoardListener(files.folder);
  const draw = progress.pretrainingProgress(context.progress);
  const result = await pretrain({
    config: loaded.config,
    encoderConfig: preset,
    vocab,
    text: options.text,
    output: options.out,
    tokens: options.tokens,
    from: options.from,
    resume: options.resume,
    stopAfter: options.stopAfter,
    signal: context.signal,
    onEvent: (event) => {
      record(event);
      board(event);
      draw(event);
    },
  });
  await writePretrainingPage(files.metrics, files.page);
  context.stdout.write(
    context.json
      ? `${JSON.stringify(result)}\n`
      : `encoder: ${result.directory} (step ${result.best?.step} of ${result.steps}, held-out loss ` +
          `${result.best?.maskedLoss.toFixed(4)} nats, ${Math.round(result.units / result.seconds)} units/s)\n`,
  );
}

/** The shape given, that of the encoder to start from, or mini. */
async function chooseShape({ encoderConfig, from }: PretrainCommandOptions): Promise<EncoderConfig> {
  if (encoderConfig === undefined && from !== undefined) {
    const { readEncoderFolder } = await import('../model/encoder-folder.js');
    return (await readEncoderFolder(from)).config;
  }
  const { readEncoderPreset } = await import('../../albert/encoder-config.js');
  return readEncoderPreset(encoderConfig ?? 'mini');
}

/** The vocabulary given, that of a run begun before, that of the encoder to start from, or a new one. */
async function chooseVocab(options: PretrainCommandOptions, context: CommandContext): Promise<Vocab> {
  const { Vocab } = await import('../text/vocab.js');
  const { vocab: file, text, from, out } = options;
  if (file !== undefined) return Vocab.read(file);
  const { VOCAB_FILE } = await import('../model/encoder-folder.js');
  if (from !== undefined) return Vocab.read(join(from, VOCAB_FILE));
  const built = join(out, 'training', VOCAB_FILE);
  if (options.resume && existsSync(built)) return Vocab.read(built);
  if (!text) throw missing('--vocab', 'either --vocab or --text');
  const [{ vocabFromText }, { bytesProgress }, { writeFileAtomic }] = await Promise.all([
    import('../pretraining/vocab-from-text.js'),
    import('./pretrain-progress.js'),
    import('../files.js'),
  ]);
  const { signal } = context;
  const vocab = await vocabFromText(text, {
    signal,
    onProgress: bytesProgress(context.progress, 'vocabulary'),
  });
  await writeFileAtomic(built, vocab.serialize());
  return vocab;
}

function missing(option: string, what: string): AlbertNerError {
  return new AlbertNerError('ERR_INVALID_ARGUMENT', `Expected ${what} but received none`, {
    details: { option },
  });
}
