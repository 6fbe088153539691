import test from 'ava';
import { EntityScorer } from '../../lib/evaluation/entity-f1.js';
import { formatReport } from '../../lib/evaluation/report.js';

const span = (start: number, end: number, label: string) => ({ start, end, label });

function exampleReport() {
  const scorer = new EntityScorer(['PER', 'LOC', 'ORG']);
  scorer.add([span(0, 2, 'PER'), span(4, 6, 'LOC')], [span(0, 2, 'PER'), span(4, 7, 'LOC')]);
  scorer.add([span(0, 2, 'PER')], [span(0, 2, 'LOC'), span(3, 4, 'T')]);
  scorer.add([span(1, 3, 'LOC')], [span(1, 3, 'LOC'), span(1, 3, 'LOC')]);
  return scorer.report();
}

test('start, end and label must all agree', (t) => {
  const { types, micro, sentences } = exampleReport();
  t.like(types.PER, { support: 2, predicted: 1, correct: 1, precision: 1, recall: 0.5 });
  t.like(types.LOC, { support: 2, predicted: 3, correct: 1 });
  t.is(types.PER.f1, 2 / 3);
  t.like(micro, { support: 4, predicted: 4, correct: 2, precision: 0.5, recall: 0.5, f1: 0.5 });
  t.is(sentences, 3);
});

test('macro is the mean over the labels that occur, weighted the mean by support', (t) => {
  const { types, macro, weighted } = exampleReport();
  const mean = (types.PER.f1 + types.LOC.f1) / 2; // ORG is neither in gold nor predicted.
  t.true(Math.abs(macro.f1 - mean) < 1e-12);
  t.true(Math.abs(weighted.f1 - (types.PER.f1 * 2 + types.LOC.f1 * 2) / 4) < 1e-12);
});

test('nothing divided by nothing is 0', (t) => {
  const { types, micro, macro } = new EntityScorer(['A']).report();
  for (const scores of [types.A, micro, macro])
    t.deepEqual([scores.precision, scores.recall, scores.f1], [0, 0, 0]);
});

test('the table has the columns of seqeval, counts, and marks labels without gold', (t) => {
  t.is(
    formatReport(exampleReport()),
    [
      '               precision     recall   f1-score    support  predicted    correct',
      '',
      '          LOC     0.3333     0.5000     0.4000          2          3          1',
      'ORG (no gold)     0.0000     0.0000     0.0000          0          0          0',
      '          PER     1.0000     0.5000     0.6667          2          1          1',
      '',
      '    micro avg     0.5000     0.5000     0.5000          4          4          2',
      '    macro avg     0.6667     0.5000     0.5333          4          4          2',
      ' weighted avg     0.6667     0.5000     0.5333          4          4          2',
      '',
      'strict spans, 3 sentences',
    ].join('\n'),
  );
});

test('columns line up under Chinese labels', (t) => {
  const scorer = new EntityScorer(['人名', 'LOC']);
  scorer.add([span(0, 1, '人名'), span(2, 3, 'LOC')], []);
  const rows = formatReport(scorer.report()).split('\n');
  const chinese = rows.find((row) => row.includes('人名')) as string;
  const latin = rows.find((row) => row.includes('LOC')) as string;
  t.is(chinese.length + 2, latin.length);
});

test('a table of hundreds of thousands of labels is no problem', (t) => {
  const scorer = new EntityScorer(Array.from({ length: 200_000 }, (_, index) => `L${index}`));
  t.is(formatReport(scorer.report()).split('\n').length, 200_000 + 8);
});
