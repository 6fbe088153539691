"""The BiLSTM by a packed nn.LSTM, with oneDNN and without, and by plain operators step by step.

Argument: folder with d*.safetensors: features [N, D], grad_output [N, 2H], lengths [B] and the weights.
"""

import torch
from packed_lstm import both_ways, lstm_of, pack
from serve import Job, norm, norms_of, problems, serve


class Layer(torch.nn.Module):
    """Weights as the tagger names them, and the batch."""

    def __init__(self, problem: dict[str, torch.Tensor]):
        super().__init__()
        self.bilstm = lstm_of(problem)
        self.load_state_dict({name: tensor for name, tensor in problem.items() if name.startswith("bilstm.")})
        lengths = problem["lengths"].tolist()
        self.features = pack(problem["features"], lengths)
        self.grad_output = pack(problem["grad_output"], lengths).data

    def job(self, forward) -> Job:
        def step() -> torch.Tensor:
            self.zero_grad()
            output = forward(self)
            output.backward(self.grad_output)
            return output

        return Job(lambda: {"output": norm(step()), **norms_of(self)}, step)


def packed(layer: Layer) -> torch.Tensor:
    return layer.bilstm(layer.features)[0].data


def plain(layer: Layer) -> torch.Tensor:
    """Every step of both directions on the sentences that have it: packed rows are time-major, the longest first."""
    steps = layer.features.batch_sizes.tolist()
    forward = direction(layer, "", steps, range(len(steps)))
    reverse = direction(layer, "_reverse", steps, reversed(range(len(steps))))
    return torch.cat([forward, reverse], dim=1)


def direction(layer: Layer, suffix: str, steps: list[int], order) -> torch.Tensor:
    w_ih, w_hh, b_ih, b_hh = (
        getattr(layer.bilstm, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    gates = torch.nn.functional.linear(layer.features.data, w_ih, b_ih + b_hh).split(steps)
    hidden = cell = gates[0].new_zeros(steps[0], w_hh.shape[1])
    outputs = [hidden] * len(steps)
    for step in order:
        count = steps[step]
        i, f, g, o = (gates[step] + hidden[:count] @ w_hh.T).chunk(4, dim=1)
        now = f.sigmoid() * cell[:count] + i.sigmoid() * g.tanh()
        outputs[step] = o.sigmoid() * now.tanh()
        # Forwards the ended sentences drop out; in reverse those that begin later still have their zeros.
        hidden, cell = (torch.cat([new, old[count:]]) for new, old in ((outputs[step], hidden), (now, cell)))
    return torch.cat(outputs)


serve(
    both_ways(lambda problem: Layer(problem).job(packed))
    | {f"{name} plain": Layer(problem).job(plain) for name, problem in problems()},
    (),
)
