"""Compares the encoder with transformers' AlbertModel on random weights of a published size.

Run: python compare-with-transformers.py [google-base]    (needs torch, transformers, and the addon built)

Saves a random AlbertModel as Hugging Face folder, lets Node encode sentences of several lengths from that folder
unchanged, and prints the largest difference from hidden_states[-2]. Exits with 1 above 1e-5.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from transformers import AlbertConfig, AlbertModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 1e-5

preset = sys.argv[1] if len(sys.argv) > 1 else "google-base"
torch.manual_seed(1)
config = AlbertConfig.from_dict(json.loads((ROOT / "albert" / "configs" / f"{preset}.json").read_text()))
config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0
model = AlbertModel(config).eval()
rng = np.random.default_rng(1)
sequences = [rng.integers(200, config.vocab_size, length).tolist() for length in (1, 7, 40, 40, 126, 510)]

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder)
    model.save_pretrained(path)
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    tokens = [special.get(i, f"token{i}") for i in range(config.vocab_size)]
    (path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    (path / "sequences.json").write_text(json.dumps(sequences))
    subprocess.run(["node", pathlib.Path(__file__).with_name("encode.js"), folder], check=True)
    ours = np.fromfile(path / "hidden.f32", dtype=np.float32).reshape(-1, config.hidden_size)

largest, row = 0.0, 0
with torch.no_grad():
    for ids in sequences:
        states = model(torch.tensor([[101, *ids, 102]]), output_hidden_states=True).hidden_states[-2][0, 1:-1]
        largest = max(largest, float(np.abs(states.numpy() - ours[row : row + len(ids)]).max()))
        row += len(ids)
print(f"{preset}: {len(sequences)} sequences, {row} units, largest difference {largest:.2e}")
sys.exit(largest > LIMIT)
