"""The CRF by pytorch-crf, and by a loop over sentences and steps.

Argument: folder with k*.safetensors: emissions [N, K], tags [N], lengths [B] and the moves.

The loop takes the way of the reference implementation: one sentence after the other, at every step the [K, K] scores of
all moves, and for a stable logarithm of their sum the largest one on the host.
"""

import torch
from serve import Job, norm, problems, serve
from torch.nn.utils.rnn import pad_sequence
from torchcrf import CRF


class Problem:
    """A batch, and the moves in a module that gets their gradients."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        self.lengths = tensors["lengths"].tolist()
        self.emissions = tensors["emissions"]
        self.tags = tensors["tags"].long()
        self.crf = CRF(self.emissions.shape[1])
        prefix = "crf."
        self.crf.load_state_dict(
            {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        )


class Batched:
    """pytorch-crf on a batch padded to its longest sentence, time first, as it computes itself."""

    def __init__(self, problem: Problem):
        self.crf = problem.crf
        self.emissions = pad_sequence(problem.emissions.split(problem.lengths)).requires_grad_()  # [T, B, K]
        self.tags = pad_sequence(problem.tags.split(problem.lengths))  # [T, B]
        self.mask = pad_sequence([torch.ones(length, dtype=torch.bool) for length in problem.lengths])

    def loss(self) -> torch.Tensor:
        return -self.crf(self.emissions, self.tags, mask=self.mask, reduction="token_mean")

    @torch.no_grad()
    def paths(self) -> list[list[int]]:
        return self.crf.decode(self.emissions, mask=self.mask)


class Loop:
    def __init__(self, problem: Problem):
        self.crf = problem.crf
        self.lengths = problem.lengths
        self.emissions = problem.emissions.clone().requires_grad_()  # [N, K]
        self.tags = problem.tags

    def loss(self) -> torch.Tensor:
        sentences = zip(self.emissions.split(self.lengths), self.tags.split(self.lengths))
        nll = sum(self.log_partition(rows) - score_of(self.crf, rows, tags) for rows, tags in sentences)
        return nll / sum(self.lengths)

    def log_partition(self, rows: torch.Tensor) -> torch.Tensor:
        alpha = self.crf.start_transitions + rows[0]
        for row in rows[1:]:
            alpha = log_of_sum(alpha[:, None] + self.crf.transitions + row)
        return log_of_sum(alpha + self.crf.end_transitions)

    @torch.no_grad()
    def paths(self) -> list[list[int]]:
        return [self.best_path(rows) for rows in self.emissions.split(self.lengths)]

    def best_path(self, rows: torch.Tensor) -> list[int]:
        best, pointers = self.crf.start_transitions + rows[0], []
        for row in rows[1:]:
            best, before = (best[:, None] + self.crf.transitions + row).max(dim=0)
            pointers.append(before)
        path = [int((best + self.crf.end_transitions).argmax())]
        for before in reversed(pointers):
            path.append(int(before[path[-1]]))
        return path[::-1]


def log_of_sum(scores: torch.Tensor) -> torch.Tensor:
    """Over the first dimension."""
    largest = scores.max().item()
    return largest + (scores - largest).exp().sum(dim=0).log()


def score_of(crf: CRF, rows: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    moves = crf.start_transitions[tags[0]] + crf.transitions[tags[:-1], tags[1:]].sum() + crf.end_transitions[tags[-1]]
    return moves + rows[torch.arange(len(tags)), tags].sum()


def jobs_of(problem: Problem, name: str, way: str, peer: Batched | Loop) -> dict[str, Job]:
    def gradient() -> torch.Tensor:
        peer.emissions.grad = None
        problem.crf.zero_grad()
        loss = peer.loss()
        loss.backward()
        return loss

    def check_gradient() -> dict[str, float]:
        loss = gradient().item()
        crf = problem.crf
        return {
            "loss": loss,
            "emissions": norm(peer.emissions.grad),
            "transitions": norm(crf.transitions.grad),
            "start": norm(crf.start_transitions.grad),
            "end": norm(crf.end_transitions.grad),
        }

    @torch.no_grad()
    def check_paths() -> dict[str, float]:
        sentences = zip(problem.emissions.split(problem.lengths), peer.paths())
        return {"score": sum(score_of(problem.crf, rows, torch.tensor(path)).item() for rows, path in sentences)}

    return {
        f"{name} loss {way}": Job(check_gradient, gradient),
        f"{name} path {way}": Job(check_paths, peer.paths),
    }


def main() -> None:
    jobs: dict[str, Job] = {}
    for name, tensors in problems():
        problem = Problem(tensors)
        jobs |= jobs_of(problem, name, "pytorch-crf", Batched(problem))
        jobs |= jobs_of(problem, name, "loop", Loop(problem))
    serve(jobs, ("pytorch-crf",))


main()
