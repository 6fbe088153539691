"""The head as it is usually composed: packed nn.LSTM, nn.Linear, pytorch-crf."""

import torch
from packed_lstm import lstm_of
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence, pad_sequence
from torchcrf import CRF


class Tagger(torch.nn.Module):
    """Parameters are named and ordered as the tagger's are."""

    def __init__(self, problem: dict[str, torch.Tensor]):
        super().__init__()
        self.bilstm = lstm_of(problem)
        K, width = problem["classifier.weight"].shape
        self.classifier = torch.nn.Linear(width, K)
        self.crf = CRF(K)
        self.load_state_dict({name: tensor for name, tensor in problem.items() if "." in name})

    def loss(self, features: PackedSequence, tags: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean per row; tags and mask [T, B]."""
        hidden, _ = self.bilstm(features)
        emissions, _ = pad_packed_sequence(hidden._replace(data=self.classifier(hidden.data)))  # [T, B, K]
        return -self.crf(emissions, tags, mask=mask, reduction="token_mean")


def pad_tags(problem: dict[str, torch.Tensor], lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tags and mask [T, B]."""
    tags = pad_sequence(problem["tags"].long().split(lengths))
    mask = pad_sequence([torch.ones(length, dtype=torch.bool) for length in lengths])
    return tags, mask
