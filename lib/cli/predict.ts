/** `albert-ner predict`: entities of texts given as options, files or JSON lines on standard input. */

import { type Command, InvalidArgumentError } from 'commander';
import { AlbertNerError } from '../errors.js';
import type { AlbertNer } from '../model/ner.js';
import type { Prediction } from '../model/packing.js';
import { addCommonOptions, type GlobalOptions, modelSettings } from './common-options.js';
import { checkOutputFile } from './output-target.js';
import { type CommandContext, runAction } from './run.js';

interface PredictCommandOptions extends GlobalOptions {
  model?: string;
  text?: string[];
  jsonl?: boolean;
  html?: string;
  minScore?: number;
  strict?: boolean;
  field?: string;
  keepFields?: boolean;
}

interface NamedText {
  name: string;
  text: string;
}

export function register(program: Command): void {
  const command = program
    .command('predict')
    .summary('find entities in text')
    .description(
      'Tags texts given with --text, whole files, or JSON lines {"id"?, "text"} on standard input: one line out per ' +
        'line in, in order and as soon as it is ready, a blank one for a blank one. Offsets are UTF-16 code units of the ' +
        'text as it was given.',
    )
    .argument('[files...]', 'text files; each is one text')
    .option('--model <dir>', 'model directory (default: the model that ships with the package)')
    .option('--text <text>', 'a text; may be given several times', (text: string, all: string[] = []) => [
      ...all,
      text,
    ])
    .option('--jsonl', 'one JSON object per text instead of a table (always so for standard input)')
    .option('--html <file>', 'also write a page that shows the entities in the text (not for standard input)')
    .option('--min-score <p>', 'leave out entities with a lower probability, 0 to 1', probability)
    .option('--field <name>', 'member of a record of standard input that holds the text (default: text)')
    .option(
      '--keep-fields',
      'answer a record of standard input with all its members as they are written, not with "id" alone; ' +
        '"entities", "windows" and "error" are always ours',
    )
    .option('--strict', 'stop at the first bad line of standard input instead of answering it in its place');
  addCommonOptions(command);
  command.action((files: string[], options: PredictCommandOptions) =>
    runAction(options, (context) => run(files, options, context)),
  );
}

function probability(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('Expected a number from 0 to 1.');
  return value;
}

async function run(
  files: string[],
  options: PredictCommandOptions,
  context: CommandContext,
): Promise<number> {
  const [{ AlbertNer }, { DEFAULT_MODEL }] = await Promise.all([
    import('../model/ner.js'),
    import('../model/load-model.js'),
  ]);
  const { device, threads } = await modelSettings(options);
  const texts = await readTexts(files, options.text ?? []);
  if (texts.length === 0) checkStandardInput(options);
  if (options.html !== undefined) await checkOutputFile('--html', options.html);
  const ner = await AlbertNer.load(options.model ?? DEFAULT_MODEL, { device, threads });
  try {
    if (texts.length === 0) return await predictStandardInput(ner, options, context);
    await predictTexts(ner, texts, options, context);
    return 0;
  } finally {
    await ner.dispose();
  }
}

/** Nobody types JSON lines, and a page of an endless stream can't be written. */
function checkStandardInput({ html }: PredictCommandOptions): void {
  if (html === undefined && !process.stdin.isTTY) return;
  const what = html === undefined ? 'text' : 'text to show on the page';
  throw new AlbertNerError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${what}: --text, files${html === undefined ? ', or JSON lines on standard input' : ''}`,
    { details: { option: html === undefined ? '--text' : '--html' } },
  );
}

async function readTexts(files: string[], given: string[]): Promise<NamedText[]> {
  const { readTextFile } = await import('../files.js');
  const texts = given.map((text, index) => ({ name: `text ${index + 1}`, text }));
  for (const file of files) texts.push({ name: file, text: await readTextFile(file) });
  return texts;
}

async function predictTexts(
  ner: AlbertNer,
  texts: readonly NamedText[],
  options: PredictCommandOptions,
  context: CommandContext,
): Promise<void> {
  const { minScore } = options;
  const predictions = await ner.predict(
    texts.map(({ text }) => text),
    { signal: context.signal, minScore },
  );
  if (options.html) await writePage(options.html, texts, predictions);
  const documents = texts.map(({ name, text }, index) => ({ name, text, ...predictions[index] }));
  if (context.json) {
    context.stdout.write(`${JSON.stringify(documents)}\n`);
  } else if (options.jsonl) {
    for (const document of documents) context.stdout.write(`${JSON.stringify(document)}\n`);
  } else {
    const { entityTable } = await import('./tables.js');
    for (const { name, entities } of documents) {
      if (documents.length > 1) context.stdout.write(`${name}\n`);
      context.stdout.write(entities.length > 0 ? `${entityTable(entities)}\n` : 'no entities\n');
    }
  }
}

async function writePage(
  file: string,
  texts: readonly NamedText[],
  predictions: readonly Prediction[],
): Promise<void> {
  const [{ renderEntityHtml }, { writeFileAtomic }] = await Promise.all([
    import('../report/entity-html.js'),
    import('../files.js'),
  ]);
  const documents = texts.map(({ name, text }, index) => ({
    title: name,
    text,
    entities: predictions[index].entities,
  }));
  await writeFileAtomic(file, renderEntityHtml(documents, { title: 'albert-ner', lang: 'zh' }));
}

/** Returns the exit code: 3 when any line was bad. */
async function predictStandardInput(
  ner: AlbertNer,
  { minScore, field = 'text', keepFields = false, strict = false }: PredictCommandOptions,
  { stdout, signal }: CommandContext,
): Promise<number> {
  const { predictLines } = await import('./predict-lines.js');
  const { stdin } = process;
  try {
    const settings = { minScore, field, keepFields, strict };
    const badLines = await predictLines(ner, { input: stdin, output: stdout, signal, ...settings });
    return badLines > 0 ? 3 : 0;
  } finally {
    stdin.destroy(); // Whoever still writes to it would keep the process.
  }
}
