/** The command line, assembled. Command files load their heavy parts only when they run. */

import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { register as registerConvert } from './convert.js';
import { register as registerDoctor } from './doctor.js';
import { register as registerEvaluate } from './evaluate.js';
import { register as registerInspect } from './inspect.js';
import { register as registerPredict } from './predict.js';
import { register as registerPretrain } from './pretrain.js';
import { register as registerSetup } from './setup.js';
import { register as registerTrain } from './train.js';
import { register as registerVocab } from './vocab.js';

const USAGE_EXIT_CODE = 2;

export function createProgram(): Command {
  const packageFile = new URL('../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string };
  const program = new Command('albert-ner')
    .description('Chinese named-entity recognition: ALBERT, BiLSTM and CRF')
    .version(version)
    .showHelpAfterError('(--help shows the options)')
    .exitOverride((error) => {
      // Help and version end with 0; everything else commander stops for is usage.
      process.exit(error.exitCode === 0 ? 0 : USAGE_EXIT_CODE);
    });
  for (const register of [
    registerSetup,
    registerDoctor,
    registerConvert,
    registerVocab,
    registerPretrain,
    registerTrain,
    registerEvaluate,
    registerPredict,
    registerInspect,
  ]) {
    register(program);
  }
  for (const command of program.commands)
    command.copyInheritedSettings(program).showHelpAfterError('(--help shows the options)');
  return program;
}

/** Runs the command line. `argv` without node and script. */
export async function main(argv: readonly string[]): Promise<void> {
  await createProgram().parseAsync([...argv], { from: 'user' });
}
