"""The teacher: the packed BERT, a linear layer and a CRF on packed rows, whose operators are albert-ner's own."""

import pathlib

import torch
from transformers import BertConfig, BertModel

OPERATORS = pathlib.Path(__file__).parents[2] / "build" / "Release" / "libalbert_ner_ops.so"


def load_operators():
    if not OPERATORS.exists():
        raise SystemExit(f"Expected the operators in {OPERATORS} but there is no file: ALBERT_NER_PY_OPS=ON npm run bootstrap")
    torch.ops.load_library(str(OPERATORS))


class Teacher(torch.nn.Module):
    """Emissions of one sequence a row of the batch; K tags."""

    def __init__(self, config, tag_count, allowed):
        super().__init__()
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.dropout = torch.nn.Dropout(config.hidden_dropout_prob)
        self.classifier = torch.nn.Linear(config.hidden_size, tag_count)
        self.transitions = torch.nn.Parameter(torch.zeros(tag_count, tag_count))
        self.start_transitions = torch.nn.Parameter(torch.zeros(tag_count))
        self.end_transitions = torch.nn.Parameter(torch.zeros(tag_count))
        for name, mask in allowed.items():
            self.register_buffer(f"forbidden_{name}", ~mask, persistent=False)

    def moves(self):
        """Transitions, starts and ends, with what the scheme forbids at minus infinity."""
        names = ("transitions", "start_transitions", "end_transitions")
        return [getattr(self, name).masked_fill(getattr(self, f"forbidden_{name}"), -torch.inf) for name in names]

    def emissions(self, ids, lengths):
        """Packed rows of sequences with bos and eos around them.

        ids      [B, T]  int64  padded
        lengths  [B]     int64  rows of each sequence, without bos and eos
        returns  [N, K]  float32, in the order of the sequences
        """
        places = torch.arange(ids.shape[1])
        mask = places < lengths[:, None] + 2  # [B, T]
        hidden = self.encoder(ids, attention_mask=mask.long()).last_hidden_state  # [B, T, H]
        inside = (places >= 1) & (places <= lengths[:, None])  # [B, T]
        return self.classifier(self.dropout(hidden)).float()[inside]

    def nll(self, ids, lengths, allowed):
        """Sum over the batch of the loss of partial annotations; allowed [N, K] bool. nats"""
        offsets = offsets_of(lengths)
        return torch.ops.albert_ner.crf_partial_nll(self.emissions(ids, lengths), allowed, offsets, *self.moves()).sum()

    @torch.no_grad()
    def best_tags(self, ids, lengths):
        """[N] int32"""
        tags, _ = torch.ops.albert_ner.crf_viterbi(self.emissions(ids, lengths), offsets_of(lengths), *self.moves())
        return tags


def offsets_of(lengths):
    return torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]).int()


def allowed_moves(tags):
    """Which moves BIOES or BIO allow, as masks of the three transition tensors."""
    parsed = [(tag[:1], tag[2:]) for tag in tags]
    has_ends = any(role == "E" for role, _ in parsed)
    open_roles = {"B", "I"}

    def may_follow(previous, following):
        continues = following[0] in ("I", "E")
        if not has_ends:
            return not continues or (previous[0] in open_roles and previous[1] == following[1])
        return (previous[0] in open_roles) == continues and (not continues or previous[1] == following[1])

    return {
        "transitions": torch.tensor([[may_follow(a, b) for b in parsed] for a in parsed]),
        "start_transitions": torch.tensor([role not in ("I", "E") for role, _ in parsed]),
        "end_transitions": torch.tensor([not has_ends or role not in open_roles for role, _ in parsed]),
    }


def from_packed(packed, rows, tags, dropout):
    """A teacher with the packed weights and the embedding's `rows`; classifier and CRF are new."""
    types = packed.tensors["emb.type"].shape[0]
    config = BertConfig(
        vocab_size=len(rows),
        hidden_size=packed.hidden_size,
        num_hidden_layers=packed.layer_count,
        num_attention_heads=packed.head_count,
        intermediate_size=packed.intermediate_size,
        max_position_embeddings=packed.tensors["emb.pos"].shape[0],
        type_vocab_size=types,
        layer_norm_eps=packed.layer_norm_eps,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation="sdpa",
    )
    teacher = Teacher(config, len(tags), allowed_moves(tags))
    teacher.encoder.load_state_dict({name: torch.from_numpy(value) for name, value in encoder_state(packed, rows).items()})
    return teacher


def encoder_state(packed, rows):
    """Names of transformers' BertModel to the packed tensors."""
    tensors = packed.tensors
    state = {
        "embeddings.word_embeddings.weight": tensors["emb.word"][rows],
        "embeddings.position_embeddings.weight": tensors["emb.pos"],
        "embeddings.token_type_embeddings.weight": tensors["emb.type"],
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
    }
    parts = {
        "attention.self.query": "q",
        "attention.self.key": "k",
        "attention.self.value": "v",
        "attention.output.dense": "ao",
        "attention.output.LayerNorm": "aln",
        "intermediate.dense": "fi",
        "output.dense": "fo",
        "output.LayerNorm": "oln",
    }
    for layer in range(packed.layer_count):
        for name, short in parts.items():
            state[f"encoder.layer.{layer}.{name}.weight"] = tensors[f"l{layer}.{short}.w"]
            state[f"encoder.layer.{layer}.{name}.bias"] = tensors[f"l{layer}.{short}.b"]
    return state
