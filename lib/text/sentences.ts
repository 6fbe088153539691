/** Cuts paragraphs of plain text into sentences of a size to tag or to train on. */

/** Behind the marks that end a sentence, and the quotation marks or brackets that close after them. */
const SENTENCE_ENDS = /(?<=[。！？!?；][”’」』）)]*)(?![。！？!?；”’」』）)])/u;

/**
 * Sentences of a paragraph, short ones joined as long as they have no more than `longest` UTF-16 code units together; a
 * longer one stays whole. Joined they are the paragraph without the white space at its ends.
 */
export function splitSentences(paragraph: string, longest: number): string[] {
  const sentences: string[] = [];
  let current = '';
  for (const piece of paragraph.trim().split(SENTENCE_ENDS)) {
    if (current !== '' && current.length + piece.length > longest) {
      sentences.push(current);
      current = '';
    }
    current += piece;
  }
  if (current !== '') sentences.push(current);
  return sentences;
}
