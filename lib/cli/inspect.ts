/** `albert-ner inspect`: what is in a model directory or an encoder folder. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { NativeTensorFile } from '../native/binding.js';
import { addCommonOptions, type GlobalOptions, modelSettings } from './common-options.js';
import { type CommandContext, runAction } from './run.js';

export function register(program: Command): void {
  const command = program
    .command('inspect')
    .summary('show what a model or encoder folder holds')
    .description(
      'Shows shape, labels, scores and sizes of a model directory or an encoder folder. Loads no native code.',
    )
    .argument('<dir>', 'model directory or encoder folder');
  addCommonOptions(command);
  command.action((directory: string, options: GlobalOptions) =>
    runAction(options, (context) => run(directory, options, context)),
  );
}

async function run(directory: string, options: GlobalOptions, context: CommandContext): Promise<undefined> {
  await modelSettings(options); // None has an effect here, but a misspelled one is an error.
  // A model directory is an encoder folder as well, so what only a model has comes first.
  const isEncoder = !existsSync(join(directory, 'model.json')) && existsSync(join(directory, 'config.json'));
  const facts = isEncoder ? await encoderFacts(directory) : await modelFacts(directory);
  context.stdout.write(context.json ? `${JSON.stringify(facts)}\n` : `${format(facts)}\n`);
}

function parameters({ tensors }: NativeTensorFile): number {
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
}

async function encoderFacts(directory: string): Promise<Record<string, unknown>> {
  const { readEncoderFolder } = await import('../model/encoder-folder.js');
  const { config, vocab, weights, warnings } = await readEncoderFolder(directory);
  return {
    kind: 'encoder',
    encoder: config,
    vocabulary: vocab.size,
    encoderParameters: parameters(weights),
    warnings,
  };
}

async function modelFacts(directory: string): Promise<Record<string, unknown>> {
  const { readModelDirectory } = await import('../model/model-directory.js');
  const { description, vocab, encoderWeights, headWeights } = await readModelDirectory(directory);
  return {
    kind: 'model',
    ...description,
    vocabulary: vocab.size,
    encoderParameters: parameters(encoderWeights),
    headParameters: parameters(headWeights),
  };
}

/** One "key: value" a line, objects indented below their key. */
function format(facts: Record<string, unknown>, indent = ''): string {
  return Object.entries(facts)
    .map(([key, value]) => {
      if (Array.isArray(value)) return `${indent}${key}: ${value.join(' ')}`;
      if (typeof value !== 'object' || value === null) return `${indent}${key}: ${value}`;
      return `${indent}${key}:\n${format(value as Record<string, unknown>, `${indent}  `)}`;
    })
    .join('\n');
}
