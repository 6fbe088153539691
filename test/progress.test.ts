import { Writable } from 'node:stream';
import test from 'ava';
import { createProgress } from '../lib/progress.js';

function fakeStream(isTTY: boolean) {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const terminal = {
    isTTY,
    columns: 100,
    cursorTo() {},
    moveCursor() {},
    clearLine() {},
    clearScreenDown() {},
  };
  return { stream: Object.assign(stream, terminal) as unknown as NodeJS.WriteStream, text: () => text };
}

test('without a terminal progress is plain lines, the last one complete', (t) => {
  const { stream, text } = fakeStream(false);
  const progress = createProgress(stream, { quiet: false });
  const task = progress.start({ name: 'epoch 1/2', total: 10, unit: 'steps' });
  for (let done = 1; done <= 10; done += 1) task.update(done, { loss: (1 / done).toFixed(2) });
  task.done();
  task.done();
  progress.message('next');
  t.is(text(), 'epoch 1/2: 10/10 steps  loss 0.10  ETA 0:00\nnext\n');
});

test('what an earlier run did is no measure of the time left', async (t) => {
  const { stream, text } = fakeStream(false);
  const progress = createProgress(stream, { quiet: false });
  const task = progress.start({ name: 'pretraining', total: 1_000_000, unit: 'steps', from: 500_000 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  task.update(500_001);
  task.done();
  // Half a million steps of at least 20 milliseconds; of a million and one in that time it would be seconds.
  const [, minutes] = /ETA (\d+):\d\d\n$/.exec(text()) ?? [];
  t.true(Number(minutes) >= 166, text());
});

test('on a terminal progress is a bar with figures', async (t) => {
  const { stream, text } = fakeStream(true);
  const task = createProgress(stream, { quiet: false }).start({
    name: 'features',
    total: 4,
    unit: 'sequences',
  });
  await new Promise((resolve) => setTimeout(resolve, 120));
  task.update(2, { loss: '0.5' });
  await new Promise((resolve) => setTimeout(resolve, 250));
  task.done();
  t.regex(text(), /features \[[^\]]+\] 2\/4 sequences {2}loss 0\.5 {2}ETA \d:\d\d/);
});

test('quiet progress writes nothing', (t) => {
  const { stream, text } = fakeStream(true);
  const progress = createProgress(stream, { quiet: true });
  progress.start({ name: 'x', total: 1, unit: 'y' }).update(1);
  progress.message('z');
  t.is(text(), '');
});
