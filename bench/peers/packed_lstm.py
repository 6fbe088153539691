"""The packed nn.LSTM of the peers, with oneDNN and without it."""

from collections.abc import Callable

import torch
from serve import Job, problems
from torch.nn.utils.rnn import PackedSequence, pack_sequence


def pack(rows: torch.Tensor, lengths: list[int]) -> PackedSequence:
    """Rows [N, ...] of sentences one after the other."""
    return pack_sequence(rows.split(lengths), enforce_sorted=False)


def lstm_of(problem: dict[str, torch.Tensor]) -> torch.nn.LSTM:
    """An nn.LSTM of the sizes of the problem's weights."""
    return torch.nn.LSTM(
        problem["bilstm.weight_ih_l0"].shape[1], problem["bilstm.weight_hh_l0"].shape[1], bidirectional=True
    )


def without_onednn(job: Job) -> Job:
    def switched(call):
        def run():
            torch.backends.mkldnn.enabled = False
            try:
                return call()
            finally:
                torch.backends.mkldnn.enabled = True

        return run

    return Job(switched(job.check), switched(job.run))


def both_ways(make_job: Callable[[dict[str, torch.Tensor]], Job]) -> dict[str, Job]:
    """Jobs of every problem, with oneDNN and without; two of each, since a job may keep state."""
    jobs: dict[str, Job] = {}
    for name, problem in problems():
        jobs[f"{name} packed"] = make_job(problem)
        jobs[f"{name} packed without oneDNN"] = without_onednn(make_job(problem))
    return jobs
