/**
 * A page of line charts, one file that loads nothing from elsewhere: uPlot and the figures stand in it. Its policy lets
 * exactly its own script and styles run.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { escapeHtml } from './escape-html.js';

export interface LineChart {
  title: string;
  /** Ascending. */
  x: readonly number[];
  lines: readonly { name: string; y: readonly (number | null)[] }[];
}

export interface ChartPage {
  title: string;
  /** A sentence under the title. */
  note: string;
  /** What the x axes count. */
  xName: string;
  charts: readonly LineChart[];
}

const STYLE = `
:root { color-scheme: light dark; --text: #1c1e21; --soft: #5f6670; --page: #f6f7f9; --card: #fff; --line: #dfe3e8; }
@media (prefers-color-scheme: dark) { :root { --text: #e8eaed; --soft: #a0a7b1; --page: #16181c; --card: #1f2227;
  --line: #343941; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.6 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; }
h2 { font-size: .95rem; margin: 0 0 .6rem; color: var(--soft); }
p { margin: 0 0 1rem; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: 1rem 0; }
`;

const SCRIPT = `
const page = JSON.parse(document.getElementById('figures').textContent);
const colours = ['#2f74d0', '#d0652f', '#2f9d62', '#9a4fd0'];
const ink = getComputedStyle(document.body).getPropertyValue('--soft').trim();
const axis = { stroke: ink, grid: { stroke: ink + '33' }, ticks: { stroke: ink + '33' } };
page.charts.forEach((chart, index) => {
  const place = document.getElementById('chart-' + index);
  const lines = chart.lines.map((line, k) => ({ label: line.name, stroke: colours[k % colours.length], width: 2,
    spanGaps: true }));
  const plot = new uPlot({
    width: place.clientWidth, height: 280, scales: { x: { time: false } }, axes: [axis, axis],
    series: [{ label: page.xName }, ...lines],
  }, [chart.x, ...chart.lines.map((line) => line.y)], place);
  addEventListener('resize', () => plot.setSize({ width: place.clientWidth, height: 280 }));
});
`;

const { resolve } = createRequire(import.meta.url);
const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** A whole HTML document. */
export function renderChartPage(page: ChartPage): string {
  const library = readFileSync(resolve('uplot/dist/uPlot.iife.min.js'), 'utf8');
  const style = readFileSync(resolve('uplot/dist/uPlot.min.css'), 'utf8') + STYLE;
  // '<' can't end a JSON string's script element when it is written as an escape.
  const figures = JSON.stringify(page).replaceAll('<', '\\u003c');
  const sections = page.charts.map(
    ({ title }, index) =>
      `<section>\n<h2>${escapeHtml(title)}</h2>\n<div id="chart-${index}"></div>\n</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src ${hashOf(library)} ${hashOf(SCRIPT)}">
<title>${escapeHtml(page.title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(page.title)}</h1>
<p>${escapeHtml(page.note)}</p>
${sections.join('\n')}
</main>
<script type="application/json" id="figures">${figures}</script>
<script>${library}</script>
<script>${SCRIPT}</script>
</body>
</html>
`;
}
