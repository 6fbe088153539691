/** `albert-ner pretrain`: makes an encoder folder. So far only --steps 0, random weights from a seed. */

import type { Command } from 'commander';
import { AlbertNerError } from '../errors.js';
import type { Vocab } from '../text/vocab.js';
import { addCommonOptions, type GlobalOptions } from './common-options.js';
import { type CommandContext, runAction } from './run.js';

interface PretrainCommandOptions extends GlobalOptions {
  encoderConfig: string;
  vocab?: string;
  text: string[];
  steps: string;
  out: string;
}

export function register(program: Command): void {
  const command = program
    .command('pretrain')
    .alias('init')
    .summary('make an encoder folder')
    .description(
      'Makes an encoder folder (config.json, vocab.txt, model.safetensors) that train and transformers load. With ' +
        '--steps 0, all this version offers, the weights are random, equal for equal seeds.',
    )
    .requiredOption('--out <dir>', 'encoder folder to write')
    .requiredOption('--steps <n>', 'pretraining steps; this version takes 0 only')
    .option('--encoder-config <name>', 'a name in albert/configs or a JSON file', 'mini')
    .option('--vocab <file>', 'vocab.txt to use')
    .option(
      '--text <file>',
      'text to build a vocabulary from; may be given several times',
      (file: string, all: string[]) => [...all, file],
      [],
    );
  addCommonOptions(command);
  command.action((options: PretrainCommandOptions) => runAction(options, (context) => run(options, context)));
}

async function run(options: PretrainCommandOptions, context: CommandContext): Promise<undefined> {
  if (options.steps !== '0') {
    throw new AlbertNerError(
      'ERR_INVALID_ARGUMENT',
      `Expected 0 for --steps but received ${options.steps}: this version initialises encoders and does not pretrain`,
      { details: { option: '--steps' } },
    );
  }
  const [{ readEncoderPreset }, { initEncoder }] = await Promise.all([
    import('../../albert/encoder-config.js'),
    import('../training/init-encoder.js'),
  ]);
  const preset = await readEncoderPreset(options.encoderConfig);
  const vocab = await chooseVocab(options);
  const config = await initEncoder({ config: preset, vocab, seed: options.seed ?? 1, output: options.out });
  context.stdout.write(
    context.json
      ? `${JSON.stringify({ directory: options.out, config })}\n`
      : `encoder: ${options.out} (random weights, ${config.layerCount} layers of ${config.hiddenSize}, ` +
          `${vocab.size} vocabulary entries)\n`,
  );
}

async function chooseVocab({ vocab: file, text }: PretrainCommandOptions): Promise<Vocab> {
  if ((file === undefined) === (text.length === 0)) {
    throw new AlbertNerError('ERR_INVALID_ARGUMENT', 'Expected either --vocab or --text', {
      details: { option: '--vocab' },
    });
  }
  const { Vocab } = await import('../text/vocab.js');
  if (file !== undefined) return Vocab.read(file);
  const [{ buildVocab }, { readTextFile }] = await Promise.all([
    import('../text/build-vocab.js'),
    import('../files.js'),
  ]);
  return buildVocab(await Promise.all(text.map(readTextFile)));
}
