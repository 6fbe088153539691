import test from 'ava';
import { tokenizeText } from '../../lib/model/packing.js';
import { TimeSlice } from '../../lib/model/time-slice.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { stoppedClock, turnsDuring } from '../support/clock.js';
import { buildVocab } from '../support/tiny-model.js';

const SENTENCE = '王小明昨天在北京大学。';
const tokenizer = new Tokenizer(buildVocab([SENTENCE]));
const LIMITS = { maxUnits: 60, margin: 8 };

test.serial(
  'a pause is no turn of the event loop while there is time left, and one when there is none',
  async (t) => {
    const clock = stoppedClock(t);
    const slice = new TimeSlice(5);
    const pauses = async (ms: number) => {
      clock.passes(ms);
      let turned = false;
      setImmediate(() => {
        turned = true;
      });
      await slice.pause();
      return turned;
    };
    t.deepEqual([await pauses(0), await pauses(4.9), await pauses(0.1)], [false, false, true]);
    // The next slice begins after the turn.
    t.deepEqual([await pauses(4.9), await pauses(0.2)], [false, true]);
  },
);

test.serial(
  'a line of a million characters is tokenised in pieces that other work comes between',
  async (t) => {
    const text = SENTENCE.repeat(100_000);
    const turns = await turnsDuring(tokenizeText(text, tokenizer, LIMITS, new TimeSlice(0)));
    t.true(turns >= 64, `${turns} turns`);
  },
);

test.serial('other work comes between the lines of a text', async (t) => {
  const text = `${SENTENCE}\n`.repeat(500);
  const turns = await turnsDuring(tokenizeText(text, tokenizer, LIMITS, new TimeSlice(0)));
  t.true(turns >= 499, `${turns} turns`);
});
