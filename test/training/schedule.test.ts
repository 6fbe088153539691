import test from 'ava';
import { learningRateFactor } from '../../lib/training/schedule.js';

const schedule = { totalSteps: 10, warmupRatio: 0.2, decay: 'linear' as const };

test('the learning rate climbs during warm-up and falls linearly to one last step above zero', (t) => {
  const factors = Array.from({ length: 10 }, (_, step) => learningRateFactor(step, schedule));
  t.deepEqual(factors, [1 / 2, 1, 8 / 8, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]);
});

test('without decay the learning rate stays at its peak', (t) => {
  t.is(learningRateFactor(9, { ...schedule, decay: 'none' }), 1);
});

test('a schedule without warm-up starts at its peak', (t) => {
  t.is(learningRateFactor(0, { ...schedule, warmupRatio: 0 }), 1);
});

test('steps past the end of the schedule keep a positive rate', (t) => {
  t.true(learningRateFactor(50, schedule) > 0);
});
