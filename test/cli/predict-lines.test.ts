import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { run, runCli } from '../support/child.js';
import { repoRoot } from '../support/paths.js';
import { trainTinyModel } from '../support/tiny-model.js';

const SCRIPT = join(repoRoot, 'scripts', 'albert-ner.js');

let folder: string;
let model: string;

test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'albert-ner-test-'));
  ({ directory: model } = await trainTinyModel(folder));
});

test.after.always(() => rm(folder, { recursive: true, force: true }));

/** The lines of standard output, with those of `content` as standard input. */
async function predictLines(t: ExecutionContext, content: string | Buffer, ...args: string[]) {
  const child = spawn(process.execPath, [SCRIPT, 'predict', '--model', model, ...args]);
  child.stdin.end(content);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (data) => {
      output[name] += data;
    });
  }
  const [code] = await once(child, 'close');
  t.true(output.stdout === '' || output.stdout.endsWith('\n'));
  return { code, stderr: output.stderr, lines: output.stdout.split('\n').slice(0, -1) };
}

/** A process that keeps its standard input open, and what it answers, line by line. */
function openFilter(t: ExecutionContext): {
  child: ChildProcessWithoutNullStreams;
  ask: (line: string) => Promise<string>;
} {
  const child = spawn(process.execPath, [SCRIPT, 'predict', '--model', model]);
  t.teardown(() => child.kill('SIGKILL'));
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    ask: async (line) => {
      child.stdin.write(`${line}\n`);
      return (await answers.next()).value;
    },
  };
}

test('every line has an answer in its place: good, bad and blank ones', async (t) => {
  const input = [
    '{"id": 1, "text": "王小明在北京"}',
    '',
    'nonsense',
    '{"id": "x", "text": ""}',
    '{"id": 4}',
    ' \t\r',
    '["text"]',
    '{"text": 5, "id": [1, 2]}',
  ];
  const { code, stderr, lines } = await predictLines(t, `${input.join('\n')}\n`);
  t.is(code, 3);
  t.is(stderr, '');
  t.is(lines.length, input.length);
  t.deepEqual([lines[1], lines[5]], ['', '']);
  const answers = lines.map((line) => (line === '' ? null : JSON.parse(line)));
  t.deepEqual(
    answers.map((answer) => answer?.id),
    [1, undefined, undefined, 'x', 4, undefined, undefined, [1, 2]],
  );
  t.is(answers[0].windows, 1);
  t.deepEqual(answers[3], { id: 'x', entities: [], windows: 0 });
  for (const number of [3, 5, 7, 8]) {
    const { code: error, message } = answers[number - 1].error;
    t.is(error, 'ERR_INVALID_DATA');
    t.true(message.startsWith(`Standard input, line ${number}: expected `), message);
  }
});

test('an answer comes before the next line is written', async (t) => {
  const { child, ask } = openFilter(t);
  for (const id of [1, 2, 3]) t.is(JSON.parse(await ask(`{"id":${id},"text":"王小明在北京"}`)).id, id);
  t.is(JSON.parse(await ask('{"id":4}')).error.code, 'ERR_INVALID_DATA');
  child.stdin.end();
  t.deepEqual(await once(child, 'close'), [3, null]);
});

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends a filter whose input is idle with ${expected}`, async (t) => {
    const { child, ask } = openFilter(t);
    await ask('{"text":"王"}'); // The model is loaded, the input is waited for.
    child.kill(signal);
    t.deepEqual(await once(child, 'close'), [expected, null]);
  });
}

test('SIGTERM ends a filter whose answers nobody reads', async (t) => {
  const child = spawn(process.execPath, [SCRIPT, 'predict', '--model', model]);
  t.teardown(() => child.kill('SIGKILL'));
  // The answer repeats the id, more than a pipe and our buffer hold: once it begins to come, the filter waits to write the rest.
  child.stdin.write(`{"id":"${'x'.repeat(1 << 22)}","text":"王"}\n`);
  await once(child.stdout, 'readable');
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  t.is(code, 143);
});

test('ids come back as they were written', async (t) => {
  const ids = ['1234567890123456789', '1.0', '-0', '1E5', String.raw`"\u738b\/"`, '{"a": [1.50]}', 'null'];
  const { lines } = await predictLines(t, ids.map((id) => `{"text": "王", "id": ${id}}`).join('\n'));
  t.deepEqual(
    lines.map((line) => line.slice(0, line.indexOf(',"entities"'))),
    ids.map((id) => `{"id":${id}`),
  );
});

test('bytes that are not UTF-8, line separators of Unicode and a byte order mark disturb no line', async (t) => {
  const content = Buffer.concat([
    Buffer.from('\ufeff{"id":1,"text":"王\u2028小明"}\r\n{"id":2,"text":"'),
    Buffer.from([0xc3, 0x28]),
    Buffer.from('"}\n{"id":3,"text":"北\u2029京"}'),
  ]);
  const { code, lines } = await predictLines(t, content);
  t.is(code, 3);
  const [first, second, third, ...more] = lines.map((line) => JSON.parse(line));
  t.deepEqual([first.id, third.id, more], [1, 3, []]);
  t.regex(second.error.message, /^Standard input, line 2: it is not UTF-8, at byte \d+ of the input$/);
  const byte = Number(/byte (\d+)/.exec(second.error.message)?.[1]);
  t.deepEqual([...content.subarray(byte, byte + 2)], [0xc3, 0x28]);
});

test('the text may have another name, and all members of a record may come back', async (t) => {
  const record =
    '{"n": 1.0, "body": "王小明", "windows": "ours", "text": null, "id": 7, "x": {"error": 0}, "error": 1}';
  const named = await predictLines(t, record, '--field', 'body');
  t.is(named.code, 0);
  t.regex(named.lines[0], /^\{"id":7,"entities":\[.*\],"windows":1\}$/);
  const kept = await predictLines(t, `${record}\n{"id": 8, "n": 2.0}`, '--field', 'body', '--keep-fields');
  const members = '"n":1.0,"body":"王小明","text":null,"id":7,"x":{"error": 0}';
  t.true(kept.lines[0].startsWith(`{${members},"entities":[`), kept.lines[0]);
  t.true(kept.lines[1].startsWith('{"id":8,"n":2.0,"error":{"code":"ERR_INVALID_DATA"'), kept.lines[1]);
  t.regex(JSON.parse(kept.lines[1]).error.message, /expected a string for "body"/);
});

test('strict stops at a bad line, names it, and answers all lines before it', async (t) => {
  const good = Array.from({ length: 20 }, (_, id) => `{"id":${id},"text":"王小明在北京"}`);
  const input = [...good, 'nonsense', ...good].join('\n');
  const { code, stderr, lines } = await predictLines(t, input, '--strict');
  t.is(code, 3);
  t.regex(stderr, /^error ERR_INVALID_DATA: Standard input, line 21: /);
  t.deepEqual(
    lines.map((line) => JSON.parse(line).id),
    good.map((_, id) => id),
  );
});

test('a reader that has seen enough ends the filter without an error', async (t) => {
  const command = `yes '{"text":"王小明在北京"}' | "${process.execPath}" "${SCRIPT}" predict --model "${model}" | head -n 1`;
  const { code, stdout, stderr } = await run('sh', ['-c', command]);
  t.is(code, 0, stderr);
  t.is(JSON.parse(stdout).windows, 1);
  t.is(stderr, '');
});

test('without any line there is nothing to answer', async (t) => {
  const { code, stdout } = await runCli(['predict', '--model', model], { input: '' });
  t.deepEqual({ code, stdout }, { code: 0, stdout: '' });
});
