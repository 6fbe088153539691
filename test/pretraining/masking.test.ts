import test from 'ava';
import { maskUnits } from '../../lib/pretraining/masking.js';
import { createRandom } from '../../lib/random.js';
import { buildVocab } from '../support/tiny-model.js';

const VOCAB = buildVocab(['天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏']);

test('about 15 % of the units are chosen, 80 % of them masked, 10 % replaced, 10 % kept', (t) => {
  const random = createRandom(3);
  const counts = { chosen: 0, masked: 0, kept: 0 };
  const length = 120;
  for (let round = 0; round < 400; round += 1) {
    const original = Int32Array.from({ length }, () => 110 + random.int(10));
    const ids = original.slice();
    const places = maskUnits(ids, { from: 0, to: length }, { vocab: VOCAB, random, share: 0.15 });
    t.deepEqual(
      places,
      [...new Set(places)].sort((a, b) => a - b),
    );
    ids.forEach((id, place) => {
      if (!places.includes(place)) t.is(id, original[place]);
    });
    counts.chosen += places.length;
    counts.masked += places.filter((place) => ids[place] === VOCAB.maskId).length;
    counts.kept += places.filter((place) => ids[place] === original[place]).length;
  }
  t.true(Math.abs(counts.chosen / (400 * length) - 0.15) < 0.002, JSON.stringify(counts));
  t.true(Math.abs(counts.masked / counts.chosen - 0.8) < 0.03, JSON.stringify(counts));
  t.true(Math.abs(counts.kept / counts.chosen - 0.1) < 0.03, JSON.stringify(counts));
});

test('neighbouring units are masked together more often than chance would have it', (t) => {
  const random = createRandom(4);
  let pairs = 0;
  let chosen = 0;
  for (let round = 0; round < 300; round += 1) {
    const places = maskUnits(
      new Int32Array(100).fill(50),
      { from: 0, to: 100 },
      { vocab: VOCAB, random, share: 0.15 },
    );
    chosen += places.length;
    pairs += places.filter((place) => places.includes(place + 1)).length;
  }
  t.true(pairs / chosen > 0.35, `${pairs / chosen}`);
});

test('a range is respected and the shortest text still has a masked unit', (t) => {
  const random = createRandom(5);
  for (let round = 0; round < 50; round += 1) {
    const ids = new Int32Array(10).fill(60);
    const places = maskUnits(ids, { from: 4, to: 5 }, { vocab: VOCAB, random, share: 0.15 });
    t.deepEqual(places, [4]);
  }
});

test('a special token never replaces a unit', (t) => {
  const random = createRandom(6);
  for (let round = 0; round < 200; round += 1) {
    const ids = new Int32Array(50).fill(60);
    maskUnits(ids, { from: 0, to: 50 }, { vocab: VOCAB, random, share: 0.15 });
    t.true(ids.every((id) => id === VOCAB.maskId || id >= VOCAB.firstOrdinaryId));
  }
});
