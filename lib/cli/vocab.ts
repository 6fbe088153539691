/** `albert-ner vocab`: a vocabulary from text. */

import type { Command } from 'commander';
import { addCommonOptions, type GlobalOptions, integerFrom, modelSettings } from './common-options.js';
import { checkOutputFile } from './output-target.js';
import { type CommandContext, runAction } from './run.js';

interface VocabCommandOptions extends GlobalOptions {
  text: string[];
  out: string;
  minCount: number;
  maxSize: number;
}

export function register(program: Command): void {
  const command = program
    .command('vocab')
    .summary('build a vocabulary from text')
    .description(
      'Builds vocab.txt: the five special tokens, printable ASCII, Chinese punctuation, then every character of the ' +
        'text by falling frequency.',
    )
    .requiredOption('--text <path...>', 'text files (.txt, .txt.gz, .txt.xz) or folders of them')
    .requiredOption('--out <file>', 'file to write')
    .option('--min-count <n>', 'leave out characters seen less often', integerFrom(1), 1)
    .option('--max-size <n>', 'entries at most, special tokens included', integerFrom(200), 30_000);
  addCommonOptions(command);
  command.action((options: VocabCommandOptions) => runAction(options, (context) => run(options, context)));
}

async function run(
  { text, out, minCount, maxSize, ...common }: VocabCommandOptions,
  context: CommandContext,
): Promise<undefined> {
  await checkOutputFile('--out', out);
  await modelSettings(common); // None has an effect here, but a misspelled one is an error.
  const [{ vocabFromText }, { writeFileAtomic }, { bytesProgress }] = await Promise.all([
    import('../pretraining/vocab-from-text.js'),
    import('../files.js'),
    import('./pretrain-progress.js'),
  ]);
  const progress = bytesProgress(context.progress, 'vocabulary');
  const { signal } = context;
  const vocab = await vocabFromText(text, { minCount, maxSize, signal, onProgress: progress });
  await writeFileAtomic(out, vocab.serialize());
  context.stdout.write(
    context.json ? `${JSON.stringify({ file: out, size: vocab.size })}\n` : `${out}: ${vocab.size} entries\n`,
  );
}
