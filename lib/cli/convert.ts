/** `albert-ner convert`: any checkpoint of an ALBERT to an encoder folder. */

import { type Command, Option } from 'commander';
import type { EncoderConfig } from '../../albert/encoder-config.js';
import type { ConversionReport } from '../model/convert-checkpoint.js';
import type { EncoderFingerprint } from '../model/encoder-fingerprint.js';
import { FOLDER_MARKS } from '../model/encoder-folder.js';
import { addCommonOptions, type GlobalOptions, integerFrom } from './common-options.js';
import { checkOutputFolder, checkReplaced } from './output-target.js';
import { bytesProgress } from './pretrain-progress.js';
import { type CommandContext, runAction } from './run.js';

interface ConvertCommandOptions extends GlobalOptions {
  config?: string;
  vocab?: string;
  key?: string;
  activation?: EncoderConfig['activation'];
  heads?: number;
  layers?: number;
  layerNorm?: EncoderConfig['layerNormPlacement'];
  tags?: string[];
  allowNonfinite?: boolean;
  to?: 'hf';
  verify?: boolean;
  overwrite?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command('convert')
    .summary('make an encoder folder of any ALBERT checkpoint')
    .description(
      'Makes an encoder folder (config.json, vocab.txt, model.safetensors, conversion.json) of a TensorFlow checkpoint ' +
        '(prefix, .index or folder), a PyTorch file (.bin, .pt, .pkl), a safetensors file or a Hugging Face folder. A whole ' +
        'model of the reference implementation (params.pkl) becomes a model directory.',
    )
    .argument('<in>', 'checkpoint, or the folder it is in')
    .argument('<out>', 'folder to write')
    .option(
      '--config <file>',
      'config in JSON or a name in albert/configs (default: the one beside the weights)',
    )
    .option('--vocab <file>', 'vocabulary (default: the one beside the weights)')
    .addOption(
      new Option('--activation <name>', 'activation, against the config').choices([
        'gelu_erf',
        'gelu_tanh',
        'relu',
        'silu',
      ]),
    )
    .option('--heads <n>', 'attention heads, against the config', integerFrom(1))
    .option('--layers <n>', 'layers, against the config', integerFrom(1))
    .addOption(
      new Option(
        '--layer-norm <place>',
        'layer norms before or after the blocks, against the config',
      ).choices(['post', 'pre']),
    )
    .option('--key <name>', 'where in a PyTorch file the state dict is (default: a usual key)')
    .option(
      '--tags <names>',
      'tags of a whole model in the order of their numbers, as B_PER,I_PER,O',
      (text: string) => text.split(','),
    )
    .option('--overwrite', 'replace the model or encoder that is in the folder')
    .option('--allow-nonfinite', 'let NaN and infinity pass')
    .addOption(
      new Option('--to <program>', "hf: refuse what transformers' own AlbertModel couldn't load").choices([
        'hf',
      ]),
    )
    .option('--verify', 'run the encoder on sample text and show a fingerprint; needs the addon');
  addCommonOptions(command);
  command.action((input: string, output: string, options: ConvertCommandOptions) =>
    runAction(options, (context) => run({ input, output }, options, context)),
  );
}

interface Places {
  input: string;
  output: string;
}

async function run(
  { input, output }: Places,
  options: ConvertCommandOptions,
  context: CommandContext,
): Promise<undefined> {
  checkReplaced('<out>', output, options, { what: 'a model or an encoder', marks: FOLDER_MARKS });
  await checkOutputFolder('<out>', output);
  const { convertCheckpoint } = await import('../model/convert-checkpoint.js');
  const { config, vocab, key, tags, activation, heads, layers, layerNorm, to } = options;
  const report = await convertCheckpoint({
    input,
    output,
    config,
    vocab,
    key,
    tags,
    overrides: { activation, headCount: heads, layerCount: layers, layerNormPlacement: layerNorm },
    allowNonFinite: options.allowNonfinite,
    target: to,
    signal: context.signal,
    onProgress: bytesProgress(context.progress, 'convert'),
  });
  const fingerprint = options.verify ? await verify(output, options) : undefined;
  for (const warning of report.warnings) context.progress.message(`warning: ${warning}`);
  context.stdout.write(
    context.json ? `${JSON.stringify({ ...report, fingerprint })}\n` : format(report, fingerprint),
  );
}

async function verify(
  output: string,
  { device, threads }: ConvertCommandOptions,
): Promise<EncoderFingerprint> {
  const { encoderFingerprint } = await import('../model/encoder-fingerprint.js');
  return encoderFingerprint(output, { device, threads });
}

const SHOWN_NAMES = 8;

function format(report: ConversionReport, fingerprint: EncoderFingerprint | undefined): string {
  const { kind, output, encoder, source, used, skipped, unknown, huggingFace, weights, config } = report;
  const { layout, layerCount, hiddenSize, headCount, activation, layerNormPlacement } = encoder;
  const rest = unknown.length > SHOWN_NAMES ? ` and ${unknown.length - SHOWN_NAMES} more` : '';
  const lines = [
    `${kind}: ${output} (${layout}, ${layerCount} layers of ${hiddenSize}, ${headCount} heads, ${activation}, ` +
      `layer norms ${layerNormPlacement})`,
    `from: ${report.format}, ${source.variables} tensors: ${used.length} used, ${skipped.length} skipped, ` +
      `${unknown.length} unknown; config ${config.file ?? 'as given'}`,
    ...(unknown.length > 0 ? [`unknown: ${unknown.slice(0, SHOWN_NAMES).join(', ')}${rest}`] : []),
    `transformers: ${huggingFace ?? 'AlbertModel.from_pretrained(folder, add_pooling_layer=False) loads it'}`,
    `weights: ${weights.bytes} bytes, SHA-256 ${weights.sha256}`,
  ];
  if (fingerprint) {
    const { rms, first, known, units } = fingerprint;
    const values = first.map((value) => value.toFixed(5)).join(' ');
    lines.push(`fingerprint: rms ${rms.toFixed(5)}, first ${values}; ${known} of ${units} characters known`);
  }
  return `${lines.join('\n')}\n`;
}
