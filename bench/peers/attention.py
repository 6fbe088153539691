"""Attention by torch's scaled_dot_product_attention: padded to the longest with a mask, and sentence by sentence.

Argument: folder with *.safetensors: query, key, value, grad_output [M, D] and lengths [B].
"""

import torch
from serve import Job, norm, problems, serve
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

HEADS = 4


def by_head(rows: torch.Tensor) -> torch.Tensor:
    """[..., T, D] to [..., heads, T, D / heads]."""
    return rows.unflatten(-1, (HEADS, -1)).transpose(-3, -2)


def padded(inputs: list[torch.Tensor], lengths: list[int]) -> torch.Tensor:
    query, key, value = (by_head(pad_sequence(rows.split(lengths), batch_first=True)) for rows in inputs)
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]  # [B, T]
    mask = None if real.all() else real[:, None, None, :]
    return scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2)[real]


def alone(inputs: list[torch.Tensor], lengths: list[int]) -> torch.Tensor:
    sentences = zip(*(rows.split(lengths) for rows in inputs))
    return torch.cat(
        [
            scaled_dot_product_attention(*(by_head(rows)[None] for rows in sentence))[0].transpose(0, 1).flatten(1)
            for sentence in sentences
        ]
    )


def job(problem: dict[str, torch.Tensor], dtype: torch.dtype, way) -> Job:
    inputs = [problem[name].to(dtype).requires_grad_() for name in ("query", "key", "value")]
    grad_output = problem["grad_output"].to(dtype)
    lengths = problem["lengths"].tolist()

    def step() -> tuple[torch.Tensor, ...]:
        output = way(inputs, lengths)
        return output, *torch.autograd.grad(output, inputs, grad_output)

    def check() -> dict[str, float]:
        return dict(zip(("output", "query", "key", "value"), map(norm, step())))

    return Job(check, step)


serve(
    {
        f"{name} {str(dtype).removeprefix('torch.')} {way.__name__}": job(problem, dtype, way)
        for name, problem in problems()
        for dtype in (torch.float32, torch.bfloat16)
        for way in (padded, alone)
    },
    (),
)
