/** `albert-ner evaluate`: a model's strict entity scores on a corpus. */

import { type Command, Option } from 'commander';
import { CORPUS_FORMATS, type CorpusFormat } from '../data/sentences.js';
import { addCommonOptions, type GlobalOptions, modelSettings } from './common-options.js';
import { type CommandContext, runAction } from './run.js';
import { showWarnings } from './train-progress.js';

interface EvaluateCommandOptions extends GlobalOptions {
  model?: string;
  data: string;
  format?: 'auto' | CorpusFormat;
  labels?: string[];
}

export function register(program: Command): void {
  const command = program
    .command('evaluate')
    .summary('score a model on a corpus')
    .description(
      'Strict entity scores: an entity counts when start, end and label agree. Sentences are scored whole, whatever ' +
        'their length.',
    )
    .option('--model <dir>', 'model directory (default: the model that ships with the package)')
    .requiredOption('--data <path>', 'corpus')
    .addOption(
      new Option('--format <name>', 'corpus format').choices(['auto', ...CORPUS_FORMATS]).default('auto'),
    )
    .option('--labels <list>', 'score only these labels, separated by commas', (value: string) =>
      value.split(',').map((label) => label.trim()),
    );
  addCommonOptions(command);
  command.action((options: EvaluateCommandOptions) => runAction(options, (context) => run(options, context)));
}

async function run(options: EvaluateCommandOptions, context: CommandContext): Promise<undefined> {
  const [{ readCorpus }, { evaluateCorpus }, { formatReport }, { DEFAULT_MODEL, loadModel }] =
    await Promise.all([
      import('../data/corpus.js'),
      import('../evaluation/evaluate.js'),
      import('../evaluation/report.js'),
      import('../model/load-model.js'),
    ]);
  const settings = await modelSettings(options);
  const corpus = await readCorpus(options.data, { format: options.format });
  showWarnings(context.progress, corpus.warnings);
  const { description, session, tagger } = await loadModel(options.model ?? DEFAULT_MODEL, settings);
  const task = context.progress.start({
    name: 'evaluate',
    total: corpus.sentences.length,
    unit: 'sentences',
  });
  try {
    const { report, tokens } = await evaluateCorpus(tagger, corpus, {
      modelLabels: description.labels,
      labels: options.labels,
      signal: context.signal,
      onProgress: (done) => task.update(done),
    });
    task.done();
    const { micro, macro, weighted, types, sentences } = report;
    context.stdout.write(
      context.json
        ? `${JSON.stringify({ micro, macro, weighted, types, sentences, tokens })}\n`
        : `${formatReport(report)}\n`,
    );
  } finally {
    task.done();
    await session.dispose();
  }
}
