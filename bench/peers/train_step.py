"""Training steps of the usual composition: packing the batch, loss, gradients, clipping and AdamW.

Arguments: folder with d*.safetensors (features [N, D], tags [N], lengths [B], the head), hyperparameters as JSON.
"""

import json
import sys

import torch
from packed_lstm import both_ways, pack
from serve import Job, serve
from tagger_model import Tagger, pad_tags

settings = json.loads(sys.argv[2])


def optimizer_of(tagger: Tagger) -> torch.optim.Optimizer:
    """Biases and the CRF don't decay."""
    groups: dict[bool, list] = {True: [], False: []}
    for name, parameter in tagger.named_parameters():
        groups["bias" not in name and not name.startswith("crf.")].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": settings["weightDecay"]},
            {"params": groups[False], "weight_decay": 0},
        ],
        lr=settings["learningRate"],
        betas=(settings["beta1"], settings["beta2"]),
        eps=settings["epsilon"],
        fused=True,
    )


def job_of(problem: dict[str, torch.Tensor]) -> Job:
    tagger = Tagger(problem)
    optimizer = optimizer_of(tagger)
    lengths = problem["lengths"].tolist()
    # What a store of half-precision features would give back.
    features = problem["features"].half().float()

    def step() -> tuple[float, float]:
        optimizer.zero_grad(set_to_none=True)
        loss = tagger.loss(pack(features, lengths), *pad_tags(problem, lengths))
        loss.backward()
        gradient_norm = torch.nn.utils.clip_grad_norm_(tagger.parameters(), settings["clipNorm"])
        optimizer.step()
        return loss.item(), gradient_norm.item()

    def check() -> dict[str, float]:
        answer = {}
        for index in range(settings["steps"]):
            answer[f"loss of step {index}"], answer[f"gradient norm of step {index}"] = step()
        return answer

    return Job(check, step)


serve(both_ways(job_of), ("pytorch-crf",))
