import { Writable } from 'node:stream';
import test from 'ava';
import { createProgress } from '../lib/progress.js';
import { stoppedClock } from './support/clock.js';

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

test('what an earlier run did is no measure of the time left', (t) => {
  const { stream, text } = fakeStream(false);
  const clock = stoppedClock(t);
  const progress = createProgress(stream, { quiet: false });
  const task = progress.start({ name: 'pretraining', total: 1_000_000, unit: 'steps', from: 500_000 });
  clock.passes(24);
  task.update(500_001);
  task.done();
  // 499,999 steps of 24 milliseconds; as part of all that is done, each would have taken none.
  t.regex(text(), /ETA 200:00\n$/);
});

test('on a terminal progress is a bar with figures', (t) => {
  const { stream, text } = fakeStream(true);
  const task = createProgress(stream, { quiet: false }).start({
    name: 'features',
    total: 4,
    unit: 'sequences',
  });
  task.update(2, { loss: '0.5' });
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
