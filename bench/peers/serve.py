"""What every peer does: jobs on request, a JSON line in, a JSON line out. bench/peer.js is the other end."""

import importlib.metadata
import json
import math
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from safetensors.torch import load_file

# As ours does on the threads of a session; those of torch's parallel operators inherit it.
torch.set_flush_denormal(True)


@dataclass
class Job:
    """`check` gives the numbers ours must agree on, `run` is what is timed."""

    check: Callable[[], dict[str, float]]
    run: Callable[[], object]


def seconds_of(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def typical_seconds(run: Callable[[], object], least: float) -> float:
    """The rule of bench/timing.js: the median of as many calls as take `least` seconds, after one that warms up."""
    calls = min(max(math.ceil(least / seconds_of(run)), 1), 1000)
    return statistics.median_high(seconds_of(run) for _ in range(calls))


def problems() -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Names and tensors of the files in the folder that the first argument names."""
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.safetensors")):
        yield path.stem, load_file(path)


def norms_of(module: torch.nn.Module) -> dict[str, float]:
    """Of every parameter's gradient."""
    return {name: norm(parameter.grad) for name, parameter in module.named_parameters()}


def norm(tensor: torch.Tensor) -> float:
    return tensor.double().norm().item()


def serve(jobs: dict[str, Job], packages: tuple[str, ...]) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "versions":
            versions = {name: importlib.metadata.version(name) for name in ("torch", *packages)}
            answer = {"python": platform.python_version(), **versions}
        else:
            torch.set_num_threads(request["threads"])
            job = jobs[request["job"]]
            answer = job.check() if request["do"] == "check" else {"seconds": typical_seconds(job.run, request["least"])}
        print(json.dumps(answer), flush=True)
