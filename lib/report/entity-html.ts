/**
 * A page that shows entities in their text: one file, nothing loaded from elsewhere, no script. Everything that comes
 * from a caller is escaped.
 */

import { createHash } from 'node:crypto';
import { escapeHtml } from './escape-html.js';

export interface HtmlEntity {
  label: string;
  /** UTF-16 offsets into the text, end exclusive. */
  start: number;
  end: number;
  /** Shown when the pointer or the focus is on the entity. */
  score?: number;
}

export interface HtmlDocument {
  text: string;
  /** Entities that overlap an earlier one are listed below the text. */
  entities: readonly HtmlEntity[];
  title?: string;
}

export interface HtmlOptions {
  title?: string;
  lang?: 'zh' | 'en';
}

const WORDS = {
  en: { overlapping: 'Overlapping entities', none: 'No entities', entities: 'entities' },
  zh: { overlapping: '重叠的实体', none: '没有实体', entities: '个实体' },
} as const;

/** A hue that depends on the label's name only, so that a label has one colour in every page. */
function hueOf(label: string): number {
  const known: Readonly<Record<string, number>> = { PER: 210, LOC: 140, ORG: 30, T: 280 };
  return known[label] ?? createHash('sha256').update(label).digest().readUInt16LE() % 360;
}

const STYLE = `
:root { color-scheme: light dark; --text: #1c1e21; --soft: #5f6670; --page: #f6f7f9; --card: #fff; --line: #dfe3e8;
  --l: 90%; --chip: 30%; }
@media (prefers-color-scheme: dark) { :root { --text: #e8eaed; --soft: #a0a7b1; --page: #16181c; --card: #1f2227;
  --line: #343941; --l: 24%; --chip: 80%; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 17px/2.1 system-ui, "PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.4rem; line-height: 1.4; margin: 0 0 .5rem; }
h2 { font-size: .85rem; line-height: 1.4; margin: 0 0 .4rem; color: var(--soft); font-weight: 600; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.3rem;
  margin: 1rem 0; }
p.text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
p.note { margin: .6rem 0 0; font-size: .85rem; line-height: 1.5; color: var(--soft); }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .5rem; padding: 0; margin: 0; font-size: .85rem;
  line-height: 1.6; }
mark, ul.legend li { background: hsl(var(--hue) 70% var(--l)); color: inherit; border-radius: .35rem;
  padding: .12em .3em; }
mark:focus-visible { outline: 2px solid currentColor; }
mark small, ul.legend b { color: hsl(var(--hue) 60% var(--chip)); font-size: .66em; font-weight: 700;
  letter-spacing: .03em; margin-left: .35em; vertical-align: .12em; }
ul.legend b { font-size: 1em; margin: 0 .3em 0 0; vertical-align: 0; }
`;

/** A whole HTML document. Linear in the text and the entities. */
export function renderEntityHtml(
  documents: readonly HtmlDocument[],
  { title = 'albert-ner', lang = 'zh' }: HtmlOptions = {},
): string {
  const styleHash = createHash('sha256').update(STYLE).digest('base64');
  const counts = new Map<string, number>();
  for (const { label } of documents.flatMap(({ entities }) => entities)) {
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  const legend = [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, count]) => `<li ${hueStyle(label)}><b>${escapeHtml(label)}</b>${count}</li>`)
    .join('');
  return `<!doctype html>
<html lang="${lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${styleHash}' 'unsafe-hashes' ${hueHashes(counts.keys())}">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<ul class="legend">${legend || `<li>${WORDS[lang].none}</li>`}</ul>
${documents.map((document) => renderDocument(document, lang)).join('\n')}
</main>
</body>
</html>
`;
}

function hueDeclaration(label: string): string {
  return `--hue: ${hueOf(label)}`;
}

function hueStyle(label: string): string {
  return `style="${hueDeclaration(label)}"`;
}

/** The policy allows exactly the style attributes this page has. */
function hueHashes(labels: Iterable<string>): string {
  const declarations = new Set([...labels].map(hueDeclaration));
  return [...declarations]
    .map((text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`)
    .join(' ');
}

function renderDocument({ text, entities, title }: HtmlDocument, lang: 'zh' | 'en'): string {
  const sorted = [...entities].sort((a, b) => a.start - b.start || b.end - a.end);
  const overlapping: HtmlEntity[] = [];
  let body = '';
  let position = 0;
  for (const entity of sorted) {
    if (entity.start < position) {
      overlapping.push(entity);
      continue;
    }
    body += escapeHtml(text.slice(position, entity.start)) + renderEntity(entity, text);
    position = entity.end;
  }
  body += escapeHtml(text.slice(position));
  const heading = title === undefined ? '' : `<h2>${escapeHtml(title)}</h2>\n`;
  const others = overlapping.map((entity) => renderEntity(entity, text)).join(' ');
  const note = others === '' ? '' : `\n<p class="note">${WORDS[lang].overlapping}: ${others}</p>`;
  return `<section>\n${heading}<p class="text">${body}</p>${note}\n</section>`;
}

function renderEntity({ label, start, end, score }: HtmlEntity, text: string): string {
  const place = `${start}–${end}${score === undefined ? '' : ` · ${score.toFixed(3)}`}`;
  const name = escapeHtml(label);
  return (
    `<mark ${hueStyle(label)} tabindex="0" title="${name} ${place}">` +
    `${escapeHtml(text.slice(start, end))}<small>${name}</small></mark>`
  );
}
