"""GELU, and residual sum with layer norm, by torch's operators.

Argument: folder with rows.safetensors: rows, added, grad_normed, grad_rounded [M, D], scale, bias [D] and inner,
grad_inner [M, F].
"""

import torch
from serve import Job, norm, problems, serve
from torch.nn.functional import gelu, layer_norm

EPSILON = 1e-12
[(_, problem)] = problems()


def job(step, names: tuple[str, ...]) -> Job:
    return Job(lambda: dict(zip(names, map(norm, step()), strict=True)), step)


def gelu_job(dtype: torch.dtype) -> Job:
    inner = problem["inner"].to(dtype).requires_grad_()
    grad_inner = problem["grad_inner"].to(dtype)

    def step() -> tuple[torch.Tensor, ...]:
        output = gelu(inner, approximate="tanh")
        return output, *torch.autograd.grad(output, inner, grad_inner)

    return job(step, ("output", "d_inner"))


def add_norm_job(dtype: torch.dtype) -> Job:
    rows, scale, bias = (problem[name].clone().requires_grad_() for name in ("rows", "scale", "bias"))
    added = problem["added"].to(dtype).requires_grad_()
    inputs = (rows, added, scale, bias)
    rounds = dtype != torch.float32
    grads = (problem["grad_normed"], problem["grad_rounded"].to(dtype))[: 1 + rounds]

    def step() -> tuple[torch.Tensor, ...]:
        normed = layer_norm(rows + added, scale.shape, scale, bias, EPSILON)
        outputs = (normed, normed.to(dtype)) if rounds else (normed,)
        return *outputs, *torch.autograd.grad(outputs, inputs, grads)

    return job(step, ("normed", *["rounded"] * rounds, "d_rows", "d_added", "d_scale", "d_bias"))


serve(
    {
        f"{name} {str(dtype).removeprefix('torch.')}": make(dtype)
        for name, make in (("add_norm", add_norm_job), ("gelu", gelu_job))
        for dtype in (torch.float32, torch.bfloat16)
    },
    (),
)
