"""Checks the operators from Python: torch's own checks of custom operators and of gradients.

    python test/python/check_ops.py build/Release/libalbert_ner_ops.so

Needs torch of the version the library was built with. ALBERT_NER_PY_OPS=ON makes the set-up build the library.
"""

import sys

import torch
from torch.autograd import gradcheck
from torch.library import opcheck

# Shapes depend on values (the lengths of the sequences), so there are no kernels for tensors without values and the
# checks of torch.compile don't apply.
CHECKS = ("test_schema", "test_autograd_registration")

LENGTHS = [4, 0, 1, 3]
K, D, H = 4, 3, 2
N = sum(LENGTHS)


def problem(dtype=torch.float64):
    """Arguments of each differentiable operator on one small ragged batch."""
    generator = torch.Generator().manual_seed(7)

    def normal(*shape):
        return (0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()

    offsets = torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0).tolist()], dtype=torch.int32)
    tags = torch.randint(K, (N,), generator=generator).int()
    allowed = torch.rand((N, K), generator=generator) < 0.5
    allowed[torch.arange(N), tags.long()] = True
    moves = (normal(K, K), normal(K), normal(K))
    emissions = normal(N, K)
    layer = [normal(*shape) for shape in 2 * [(4 * H, D), (4 * H, H), (4 * H,), (4 * H,)]]
    features = normal(N, D)
    return {
        "crf_nll": (emissions, tags, offsets, *moves),
        "crf_partial_nll": (emissions, allowed, offsets, *moves),
        "bilstm": (features, offsets, *layer),
        "tagger_loss": (features, offsets, tags, [*layer, normal(K, 2 * H), normal(K), *moves]),
    }


class TaggerLoss(torch.autograd.Function):
    """The fused step, which is float32, as a differentiable function of float64 features and head."""

    @staticmethod
    def forward(ctx, features, offsets, tags, *head):
        args = (features.float(), offsets, tags, [tensor.float() for tensor in head], 0.25, 3, True)
        loss, *ctx.gradients = torch.ops.albert_ner.tagger_loss(*args)
        return loss

    @staticmethod
    def backward(ctx, grad):
        *head, features = [grad * gradient for gradient in ctx.gradients]
        return features, None, None, *head


def plain(value):
    """Without a request for gradients."""
    return [plain(item) for item in value] if isinstance(value, list) else value.detach()


def main(library):
    torch.ops.load_library(library)
    ops = torch.ops.albert_ner
    for name in ("crf_nll", "crf_partial_nll", "bilstm"):
        op = getattr(ops, name)
        for dtype in (torch.float64, torch.float32):
            opcheck(op.default, problem(dtype)[name], test_utils=CHECKS)
        assert gradcheck(op, problem()[name]), name
        print(f"{name}: ok")

    features, offsets, tags, head = problem(torch.float32)["tagger_loss"]
    room = [torch.zeros_like(tensor) for tensor in plain([*head, features])]
    for rows in (plain(features), plain(features).half()):
        args = (rows, offsets, tags, plain(head), 0.25, 3)
        opcheck(ops.tagger_loss.default, (*args, True), test_utils=CHECKS)
        opcheck(ops.tagger_loss_into.default, (*args, room[:-1], room[-1]), test_utils=CHECKS)
    # Wide steps, since the loss has the digits of float32 alone.
    features, offsets, tags, head = problem()["tagger_loss"]
    assert gradcheck(TaggerLoss.apply, (features, offsets, tags, *head), eps=1e-2, atol=1e-3, rtol=1e-2)
    print("tagger_loss: ok")

    try:
        ops.crf_nll(*problem()["crf_nll"][:2], torch.tensor([0, N - 1], dtype=torch.int32), *problem()["crf_nll"][3:])
    except RuntimeError as error:
        assert "offsets[B]" in str(error), error
        print("errors: ok")


if __name__ == "__main__":
    main(sys.argv[1])
