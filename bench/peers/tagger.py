"""Loss and gradients of the head by the usual composition.

Argument: folder with d*.safetensors: features [N, D], tags [N], lengths [B] and the head.
"""

import torch
from packed_lstm import both_ways, pack
from serve import Job, norms_of, serve
from tagger_model import Tagger, pad_tags


def job_of(problem: dict[str, torch.Tensor]) -> Job:
    tagger = Tagger(problem)
    lengths = problem["lengths"].tolist()
    features = pack(problem["features"], lengths)
    tags, mask = pad_tags(problem, lengths)

    def step() -> torch.Tensor:
        tagger.zero_grad()
        loss = tagger.loss(features, tags, mask)
        loss.backward()
        return loss

    return Job(lambda: {"loss": step().item(), **norms_of(tagger)}, step)


serve(both_ways(job_of), ("pytorch-crf",))
