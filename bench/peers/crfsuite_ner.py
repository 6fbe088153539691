"""A CRFsuite baseline: the usual character features, L-BFGS with L2 until ten iterations gain less than a thousandth, strict
entity scores.

Arguments: folder with train.jsonl and one dev-NAME.jsonl per corpus ({"text", "spans": [[start, end, label]]}, offsets
in characters), then the labels to learn. Prints one JSON object: corpus to label to [correct, predicted, gold]. CRFsuite's
log goes to standard error: it runs for 40 minutes.
"""

import json
import pathlib
import sys
import tempfile

import pycrfsuite


def kind(character):
    if character.isdigit():
        return "digit"
    if character.isascii() and character.isalpha():
        return "latin"
    return "han" if "\u4e00" <= character <= "\u9fff" else "other"


def features(text):
    """Characters and their bigrams in a window of two on each side, and the kinds of the nearest three."""
    padded = ["<"] * 2 + list(text) + [">"] * 2
    rows = []
    for i in range(2, len(padded) - 2):
        row = [f"c{d}={padded[i + d]}" for d in range(-2, 3)]
        row += [f"b{d}={padded[i + d]}{padded[i + d + 1]}" for d in range(-2, 2)]
        row += [f"s={padded[i - 1]}{padded[i + 1]}"]
        row += [f"k{d}={kind(padded[i + d])}" for d in (-1, 0, 1)]
        rows.append(row)
    return rows


def read(path, labels):
    for line in path.read_text(encoding="utf-8").splitlines():
        sentence = json.loads(line)
        tags = ["O"] * len(sentence["text"])
        spans = [span for span in sentence["spans"] if span[2] in labels]
        for start, end, label in spans:
            tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
        yield sentence["text"], tags, {tuple(span) for span in spans}


def spans_of(tags):
    found, start, label = set(), None, None
    for i, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{label}":
            found.add((start, i, label))
            start = None
        if tag.startswith("B-") or (tag.startswith("I-") and start is None):
            start, label = i, tag[2:]
    return found


class LoggingTrainer(pycrfsuite.Trainer):
    def message(self, message):
        print(message, end="", file=sys.stderr, flush=True)


folder, labels = pathlib.Path(sys.argv[1]), set(sys.argv[2:])
trainer = LoggingTrainer(algorithm="lbfgs", verbose=True)
trainer.set_params({"c1": 0, "c2": 1.0, "feature.possible_transitions": True, "delta": 1e-3})
for text, tags, _ in read(folder / "train.jsonl", labels):
    if text:
        trainer.append(features(text), tags)
with tempfile.NamedTemporaryFile(suffix=".crfsuite") as file:
    trainer.train(file.name)
    tagger = pycrfsuite.Tagger()
    tagger.open(file.name)
    scores = {}
    for path in sorted(folder.glob("dev-*.jsonl")):
        counts = {label: [0, 0, 0] for label in sorted(labels)}
        for text, _, gold in read(path, labels):
            predicted = spans_of(tagger.tag(features(text))) if text else set()
            for place, spans in ((0, predicted & gold), (1, predicted), (2, gold)):
                for span in spans:
                    counts[span[2]][place] += 1
        scores[path.stem[len("dev-") :]] = counts
print(json.dumps(scores))
