/** `albert-ner train`: options to one call of the trainer, its events to a bar, the table at the end. */

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Config, FileConfig } from '../config/schema.js';
import { CORPUS_FORMATS } from '../data/sentences.js';
import { AlbertNerError } from '../errors.js';
import { FOLDER_MARKS } from '../model/encoder-folder.js';
import { addCommonOptions, commonSettings, type GlobalOptions, integerFrom } from './common-options.js';
import { encoderFolder } from './encoder-option.js';
import { checkOtherFolder, checkOutputFolder, checkReplaced } from './output-target.js';
import { type CommandContext, runAction } from './run.js';
import { trainingProgress } from './train-progress.js';

/** Read when no --config is given and the file exists in the working directory. */
const DEFAULT_CONFIG_FILE = 'models/config.yml';

interface TrainCommandOptions extends GlobalOptions {
  config?: string;
  train?: string;
  dev?: string;
  encoder?: string;
  out?: string;
  format?: string;
  resume?: boolean;
  overwrite?: boolean;
  stopAfter?: number;
}

export function register(program: Command): void {
  const command = program
    .command('train')
    .summary('train a tagger')
    .description(
      'Trains BiLSTM and CRF on the features of a frozen encoder, or with the encoder, and writes a model directory: the model with the best ' +
        'dev F1, or the last one (train.keep), and the last checkpoint to resume from. Ctrl-C saves and exits with 130.',
    )
    .option('--config <file>', `settings in YAML (default: ${DEFAULT_CONFIG_FILE} when it exists)`)
    .option('--train <path>', 'training corpus; overrides train.data')
    .option('--dev <path>', 'dev corpus; overrides train.dev')
    .option(
      '--encoder <dir>',
      'encoder folder, model directory or any checkpoint that convert takes; overrides encoder (default: the model that ships with the package)',
    )
    .option('--out <dir>', 'model directory to write; overrides model_path')
    .option('--format <name>', `corpus format: auto, ${CORPUS_FORMATS.join(', ')}; overrides train.format`)
    .option('--resume', 'continue from the last checkpoint in the model directory')
    .option('--overwrite', 'begin anew in a folder that holds a model, an encoder or a run')
    .option(
      '--stop-after <epochs>',
      'stop and save after this many epochs of the run; resume later',
      integerFrom(1),
    );
  addCommonOptions(command);
  command.action((options: TrainCommandOptions) => runAction(options, (context) => run(options, context)));
}

async function run(options: TrainCommandOptions, context: CommandContext): Promise<undefined> {
  const { config, settings, encoder: named, output } = await readSettings(options);
  checkReplaced('--out', output, options, {
    what: 'a model, an encoder or a run',
    marks: [...FOLDER_MARKS, join('training', 'last.safetensors')],
  });
  checkOtherFolder('--out', output, '--encoder', named);
  await checkOutputFolder('--out', output);
  await checkOutputFolder('--out', join(output, 'training'));
  const encoder = await encoderFolder(named, context);
  const [
    { train, trainingFiles },
    { metricsWriter },
    { formatSettings },
    { writeFileAtomic },
    { formatReport },
  ] = await Promise.all([
    import('../training/trainer.js'),
    import('../training/metrics.js'),
    import('../config/load-config.js'),
    import('../files.js'),
    import('../evaluation/report.js'),
  ]);
  const files = trainingFiles(output);
  await mkdir(files.folder, { recursive: true });
  await writeFileAtomic(files.config, formatSettings(settings));
  const record = metricsWriter(files.metrics);
  const draw = trainingProgress(context.progress);
  const result = await train({
    encoder,
    config,
    output,
    resume: options.resume,
    stopAfterEpochs: options.stopAfter,
    signal: context.signal,
    onEvent: (event) => {
      record(event);
      draw(event);
    },
  });
  if (context.json) {
    context.stdout.write(`${JSON.stringify(result)}\n`);
    return undefined;
  }
  for (const [corpus, report] of Object.entries(result.reports)) {
    const title = config.train.corpora.length > 1 ? `${corpus}\n` : '';
    context.stdout.write(`${title}${formatReport(report)}\n`);
  }
  context.stdout.write(`model: ${result.directory}\n`);
}

interface Settings {
  config: Config;
  settings: FileConfig;
  encoder: string;
  output: string;
}

async function readSettings(options: TrainCommandOptions): Promise<Settings> {
  const [{ loadConfig }, { DEFAULT_MODEL }] = await Promise.all([
    import('../config/load-config.js'),
    import('../model/load-model.js'),
  ]);
  const file = options.config ?? (existsSync(DEFAULT_CONFIG_FILE) ? DEFAULT_CONFIG_FILE : undefined);
  const set = commonSettings(options);
  if (options.format !== undefined) set.push(`train.format=${options.format}`);
  if (options.train !== undefined) set.push(`train.data=${JSON.stringify(options.train)}`);
  if (options.dev !== undefined) set.push(`train.dev=${JSON.stringify(options.dev)}`);
  const { config, settings } = await loadConfig({ file, set });
  if (config.train.corpora.length === 0) required(null, '--train', 'train.data', 'a corpus');
  return {
    config,
    settings,
    encoder: options.encoder ?? config.encoder ?? DEFAULT_MODEL,
    output: required(options.out ?? config.modelPath, '--out', 'model_path', 'a folder for the model'),
  };
}

function required(value: string | null | undefined, option: string, key: string, what: string): string {
  if (value) return value;
  throw new AlbertNerError(
    'ERR_INVALID_CONFIG',
    `Expected ${what} for ${option} (or ${key} in the config) but received none`,
    { details: { option: key } },
  );
}
