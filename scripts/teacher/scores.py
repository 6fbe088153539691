"""Strict entity scores of tag sequences in BIOES or BIO: same borders, same label."""


def spans_of(tags):
    """{(start, end, label)} of a legal sequence of tag names."""
    spans = set()
    start = None
    for place, tag in enumerate([*tags, "O"]):
        role, label = tag[:1], tag[2:]
        if start is not None and role not in ("I", "E"):
            spans.add((start[0], place, start[1]))
            start = None
        if role in ("B", "S"):
            start = (place, label)
    return spans


class Counts:
    """Correct, predicted and gold entities of one corpus, by label."""

    def __init__(self, labels):
        self.labels = labels
        self.counts = {label: [0, 0, 0] for label in labels}

    def add(self, gold, predicted):
        for label in self.labels:
            ours = {span for span in predicted if span[2] == label}
            theirs = {span for span in gold if span[2] == label}
            for place, size in enumerate((len(ours & theirs), len(ours), len(theirs))):
                self.counts[label][place] += size

    def f1(self, labels=None):
        """Micro F1 in percent over these labels; None where gold has none of them."""
        chosen = [self.counts[label] for label in (labels or self.labels) if label in self.counts]
        correct, predicted, gold = (sum(column) for column in zip(*chosen)) if chosen else (0, 0, 0)
        return None if gold == 0 else 200 * correct / (predicted + gold)
