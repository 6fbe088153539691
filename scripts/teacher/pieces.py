"""Characters to rows of the teacher's embedding: one piece a character, so that labels align with text.

A character is normalised as its vocabulary wants (full-width letters, digits and some punctuation have no piece of their own)
and looked up bare; the piece with the mark of a word's beginning only stands in where there is no bare one.
"""

import dataclasses

WORD_MARK = "\u2581"
SPECIALS = ("bos", "eos", "pad", "unk")


@dataclasses.dataclass
class CharacterVocabulary:
    """Rows 0 to 3 are bos, eos, pad and unk; `rows` are their pieces' numbers in the whole vocabulary."""

    rows: list[int]
    ids: dict[str, int]

    BOS, EOS, PAD, UNK = range(4)

    def encode(self, text):
        return [self.ids.get(character, self.UNK) for character in text]


def build(packed, characters):
    """The vocabulary of these characters; what has no piece reads as unk."""
    number_of = {piece: number for number, piece in enumerate(packed.pieces)}
    rows = [getattr(packed, name) for name in SPECIALS]
    row_of = {}
    ids = {}
    for character in sorted(characters):
        normal = packed.normalisation.get(character, character)
        # A character that becomes several is known by its first: "㎡" by "m".
        number = first_known(number_of, [normal, WORD_MARK + normal, normal[:1], WORD_MARK + normal[:1]])
        if number is None:
            continue
        if number not in row_of:
            row_of[number] = len(rows)
            rows.append(number)
        ids[character] = row_of[number]
    return CharacterVocabulary(rows, ids)


def first_known(number_of, candidates):
    for candidate in candidates:
        if candidate not in ("", WORD_MARK) and candidate in number_of:
            return number_of[candidate]
    return None
