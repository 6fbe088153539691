"""Pretraining steps of transformers' AlbertForPreTraining.

Argument: folder with the model and batch.json.
"""

import json
import pathlib
import sys

import torch
from serve import Job, serve
from transformers import AlbertForPreTraining

folder = pathlib.Path(sys.argv[1])
batch = json.loads((folder / "batch.json").read_text())
count, longest = len(batch["lengths"]), max(batch["lengths"])
ids = torch.zeros(count, longest, dtype=torch.long)
types = torch.zeros(count, longest, dtype=torch.long)
mask = torch.zeros(count, longest, dtype=torch.long)
labels = torch.full((count, longest), -100)
original = dict(zip(batch["maskedRows"], batch["maskedIds"]))
row = 0
for sequence, length in enumerate(batch["lengths"]):
    ids[sequence, :length] = torch.tensor(batch["ids"][row : row + length])
    types[sequence, :length] = torch.tensor(batch["types"][row : row + length])
    mask[sequence, :length] = 1
    for place in range(length):
        if row + place in original:
            labels[sequence, place] = original[row + place]
    row += length
order = torch.tensor(batch["orderLabels"])


def job(dtype: torch.dtype) -> Job:
    # Dropout of the order head is on by default; ours has none.
    model = AlbertForPreTraining.from_pretrained(folder, dtype=torch.float32, classifier_dropout_prob=0.0)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, fused=True
    )

    def loss() -> torch.Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return model(
                input_ids=ids, attention_mask=mask, token_type_ids=types, labels=labels, sentence_order_label=order
            ).loss

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    @torch.no_grad()
    def check() -> dict[str, float]:
        return {"loss": loss().item()}

    return Job(check, step)


jobs = {str(dtype).removeprefix("torch."): job(dtype) for dtype in (torch.float32, torch.bfloat16)}
serve(jobs, ("transformers",))
