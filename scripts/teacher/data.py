"""Exported corpora, and batches of a few fixed shapes: memory for products grows with every new shape."""

import dataclasses
import json
import pathlib
import random

import torch

from pieces import CharacterVocabulary

SPECIALS = 2  # bos and eos
# Columns of a batch, bos and eos among them. The last one holds the longest exported sequences.
WIDTHS = (18, 34, 50, 66, 82, 98, 130, 194, 256, 512)


@dataclasses.dataclass
class Sequence:
    corpus: int
    text: str
    tags: list[int]


@dataclasses.dataclass
class Batch:
    ids: torch.Tensor  # [B, T] int64; rows beyond the sequences are empty ones
    lengths: torch.Tensor  # [B] int64
    members: list[int]


@dataclasses.dataclass
class Corpora:
    tags: list[str]
    corpora: list[dict]
    train: list[Sequence]
    dev: list[Sequence]


def read(folder):
    folder = pathlib.Path(folder)
    description = json.loads((folder / "corpora.json").read_text(encoding="utf-8"))
    parts = {part: read_sequences(folder / f"{part}.jsonl") for part in ("train", "dev")}
    return Corpora(description["tags"], description["corpora"], **parts)


def read_sequences(path):
    sequences = []
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            row = json.loads(line)
            if len(row["text"]) != len(row["tags"]):
                raise ValueError(f"{path}:{number}: {len(row['text'])} characters but {len(row['tags'])} tags")
            sequences.append(Sequence(row["corpus"], row["text"], row["tags"]))
    return sequences


def allowed_tags(sequences, corpora, tag_count):
    """[N, K] bool: the tag of each row, and beside O those of labels that its corpus doesn't annotate."""
    tags = torch.tensor([tag for sequence in sequences for tag in sequence.tags], dtype=torch.int64)
    allowed = torch.nn.functional.one_hot(tags, tag_count).bool()
    row = 0
    for sequence in sequences:
        rows = allowed[row : row + len(sequence.tags)]
        open_tags = corpora[sequence.corpus]["open"]
        if open_tags:
            outside = rows[:, 0].nonzero().flatten()
            rows[outside[:, None], torch.tensor(open_tags)] = True
        row += len(sequence.tags)
    return allowed


def width_of(length):
    return next(width for width in WIDTHS if length + SPECIALS <= width)


def plan(lengths, rows_per_batch, shuffle=None):
    """Lists of members of one width each, and that width; every batch of a width has the same number of places.

    lengths  of the members, by their number; a member may come several times
    shuffle  random.Random that orders members and batches; none: by length
    """
    order = list(lengths)
    if shuffle is None:
        order.sort(key=lambda member: member[1])
    else:
        shuffle.shuffle(order)
    waiting = {width: [] for width in WIDTHS}
    batches = []
    for member, length in order:
        width = width_of(length)
        waiting[width].append(member)
        if len(waiting[width]) == places_of(width, rows_per_batch):
            batches.append((width, waiting[width]))
            waiting[width] = []
    batches += [(width, members) for width, members in waiting.items() if members]
    if shuffle is not None:
        shuffle.shuffle(batches)
    return batches


def places_of(width, rows_per_batch):
    return max(1, rows_per_batch // width)


def pack(width, members, encoded, rows_per_batch):
    """Encoded sequences [ids] as a batch of this width."""
    places = max(places_of(width, rows_per_batch), len(members))
    vocabulary = CharacterVocabulary
    ids = torch.full((places, width), vocabulary.PAD, dtype=torch.int64)
    lengths = torch.zeros(places, dtype=torch.int64)
    ids[:, 0] = vocabulary.BOS
    ids[:, 1] = vocabulary.EOS
    for place, member in enumerate(members):
        row = encoded[member]
        ids[place, 1 : len(row) + SPECIALS] = torch.tensor([*row, vocabulary.EOS])
        lengths[place] = len(row)
    return Batch(ids, lengths, members)


def members_of(corpora, sequences, repeats):
    """(member, length): each sequence as often as its corpus is repeated."""
    members = []
    for number, sequence in enumerate(sequences):
        corpus = corpora[sequence.corpus]
        times = repeats.get(corpus["name"], 1)
        if sequence.text:
            members += [(number, len(sequence.text))] * times
    return members


def shuffler(seed, epoch):
    return random.Random(f"{seed} {epoch}")
