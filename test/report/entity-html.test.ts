import test from 'ava';
import { renderEntityHtml } from '../../lib/report/entity-html.js';

const entity = (start: number, end: number, label: string, score = 0.9) => ({ start, end, label, score });

/** The text a reader sees in the paragraphs, labels removed. */
function visibleText(html: string): string {
  const [, paragraph] = /<p class="text">(.*?)<\/p>/s.exec(html) as RegExpExecArray;
  const plain = (text: string) =>
    text
      .replace(/&lt;/g, '<')
      .replace(/&gt;/g, '>')
      .replace(/&quot;/g, '"')
      .replace(/&#39;/g, "'")
      .replace(/&amp;/g, '&');
  return plain(paragraph.replace(/<small>.*?<\/small>/g, '').replace(/<[^>]+>/g, ''));
}

test('the page shows the text whole, with every entity marked once', (t) => {
  const text = '王小明在\n北京工作😀&<b>';
  const html = renderEntityHtml([{ text, entities: [entity(5, 7, 'LOC'), entity(0, 3, 'PER')] }]);
  t.is(visibleText(html), text);
  t.is(html.match(/<mark /g)?.length, 2);
  t.regex(html, /<mark [^>]*title="PER 0–3 · 0\.900">王小明<small>PER<\/small><\/mark>/);
});

test('nothing from a caller becomes markup', (t) => {
  const evil = `<script>alert("x")</script>'&`;
  const html = renderEntityHtml([{ text: evil, entities: [entity(0, 8, evil)], title: evil }], {
    title: evil,
  });
  t.notRegex(html, /<script/i);
  t.is(html.match(/alert/g)?.length, html.match(/alert\(&quot;x&quot;\)/g)?.length);
  t.is(visibleText(html), evil);
});

test('the page loads nothing and its policy forbids it', (t) => {
  const html = renderEntityHtml([{ text: '王', entities: [entity(0, 1, 'PER')] }]);
  t.regex(html, /Content-Security-Policy" content="default-src 'none'/);
  t.notRegex(html, /https?:|src=|<link|@import/);
});

test('entities that overlap are listed, not nested wrongly', (t) => {
  const html = renderEntityHtml(
    [{ text: '北京大学', entities: [entity(0, 4, 'ORG'), entity(0, 2, 'LOC')] }],
    { lang: 'en' },
  );
  t.is(visibleText(html), '北京大学');
  t.regex(html, /Overlapping entities: <mark/);
});

test('the legend counts labels, and a label keeps its colour', (t) => {
  const documents = [{ text: '王明', entities: [entity(0, 1, 'X'), entity(1, 2, 'X')] }];
  const html = renderEntityHtml(documents);
  t.regex(html, /<b>X<\/b>2</);
  const hue = (page: string) => /style="(--hue: \d+)"/.exec(page)?.[1];
  t.is(hue(renderEntityHtml([{ text: '京', entities: [entity(0, 1, 'X')] }])), hue(html));
});

test('documents without entities and without text are fine', (t) => {
  t.regex(renderEntityHtml([{ text: '', entities: [] }], { lang: 'en' }), /No entities/);
  t.regex(renderEntityHtml([]), /<!doctype html>/);
});
