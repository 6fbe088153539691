import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { writePretrainingPage } from '../../lib/pretraining/records.js';
import { renderChartPage } from '../../lib/report/line-charts.js';
import { temporaryFolder } from '../support/paths.js';

const PAGE = {
  title: '</title><script>alert(1)</script>',
  note: '& <b>',
  xName: 'step',
  charts: [{ title: '</script><b>', x: [1, 2], lines: [{ name: '</script>', y: [0.5, null] }] }],
};

test('what a caller gives is escaped and the policy allows exactly the scripts of the page', (t) => {
  const html = renderChartPage(PAGE);
  t.false(html.includes('<script>alert'));
  t.false(html.includes('</script><b>'));
  const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(([, code]) => code);
  t.is(scripts.length, 2);
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? '';
  for (const code of scripts) {
    t.true(policy.includes(`'sha256-${createHash('sha256').update(code).digest('base64')}'`));
  }
  t.regex(policy, /default-src 'none'/);
  t.notRegex(html, /(src|href)=/);
});

test('the figures stand in the page as they were given', (t) => {
  const json = /id="figures">(.*?)<\/script>/s.exec(renderChartPage(PAGE))?.[1] ?? '';
  t.deepEqual(JSON.parse(json), PAGE);
});

test('the curves of a pretraining run are those of its log, steps done twice counted once', async (t) => {
  const folder = await temporaryFolder(t);
  const figures = { maskedLoss: 5, maskedAccuracy: 0.25, orderLoss: 0.7, orderAccuracy: 0.5 };
  const lines = [
    { type: 'report', step: 50, ...figures },
    { type: 'evaluation', step: 100, ...figures, maskedLoss: 4.5 },
    { type: 'resume', step: 50 },
    { type: 'evaluation', step: 100, ...figures, maskedLoss: 4.25 },
  ];
  await writeFile(join(folder, 'metrics.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const page = join(folder, 'report.html');
  await writePretrainingPage(join(folder, 'metrics.jsonl'), page);
  const html = await readFile(page, 'utf8');
  const { charts, note } = JSON.parse(/id="figures">(.*?)<\/script>/s.exec(html)?.[1] ?? '');
  t.regex(note, /held-out loss 4\.2500/);
  t.deepEqual(charts[0].x, [50, 100]);
  t.deepEqual(
    charts[0].lines.map(({ y }: { y: number[] }) => y),
    [
      [5, null],
      [null, 4.25],
    ],
  );
});
