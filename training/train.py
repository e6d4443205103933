"""Trains qwren-nano on a CPU: one single-threaded process per core; an unfinished training resumes.

usage: python train.py STATE_DIR --minutes 110 [--processes 2] [--from MODEL_DIR --rate 0.8 --seed second]

Every step is SLOTS micro-batches; the processes take them from a shared counter, so that a core that is busy elsewhere
costs only its share, and sum their gradients. The learning rate follows the clock: a short warm-up, constant for CONSTANT of the minutes, then linear
to zero. The shares of the jobs follow the validation results: what is below its goal is drawn more often, and texts to look things up in grow
longer as the short ones are mastered. STATE_DIR receives state.pt (every three minutes), curve.jsonl and train.log.

With --from, a training without a state begins with the weights of an exported checkpoint: a fresh optimizer, the same warm-up, examples of
their own if the seed is another one. A state in the directory goes before it, so the same command starts and resumes.
"""
import argparse
import datetime
import json
import os
import pathlib
import random
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

import fast
from data import batches
from data.pictures import COLOUR_NAMES, SHAPES
from model import load_exported, make_model, named_parameters
from optimizer import MuonAdam

SLOTS, WARM_STEPS, CONSTANT = 8, 40, 0.3
MUON_RATE, ADAM_RATE = 0.02, 2e-3
LOSS_WEIGHT = {"sum_off": 0.5, "unknown": 0.4, "cells": 0.5}
MTP_FROM, MTP_EVERY, MTP_WEIGHT = 200, 4, 0.3
SEARCH_WEIGHT = 0.5
SAVE_SECONDS, EVALUATE_SECONDS = 180, 420
GOAL = 0.97


class Auxiliary(torch.nn.Module):
    """Reads the coloured shape centred in a merged token, and where in it; dropped at export. Without it the tower wakes up late."""

    def __init__(self, hidden):
        super().__init__()
        self.named = torch.nn.Linear(hidden, 1 + len(COLOUR_NAMES) * len(SHAPES))
        self.place = torch.nn.Linear(hidden, 3)
        self.register_buffer("weight", torch.ones(self.named.out_features))
        self.weight[0] = 0.2                    # most cells are empty

    def loss(self, image, classes, places):
        known, shape = classes >= 0, classes > 0
        named = F.cross_entropy(self.named(image[known]), classes[known], weight=self.weight)
        return named + (F.smooth_l1_loss(self.place(image[shape]), places[shape]) if shape.any() else 0.0)


def tensors(batch):
    return {name: torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
            for name, value in batch.items()}


def examination():
    """[(kind of micro-batch, lines of its texts)]: one round of an examination."""
    tests = [(kind, batches.MAX_LINES) for kind in batches.SHARES if kind not in ("cells", "lookup", "recall")]
    return tests + [("lookup", level) for level in (4, 8, 16, 32, 64)] + [("recall", 16)]


@torch.no_grad()
def exact(model, groups):
    """Per item: whether greedy decoding would give exactly the wanted text (every arg max right under teacher forcing).
    And for every token that the MTP head drafts: whether it is right."""
    batch = tensors(batches.arrays(groups))
    image = model.vision(batch["pixels"], batch["grid"]) if "pixels" in batch else None
    prefix, suffix = model.forward(batch, image)
    right = (model.logits(suffix.x).argmax(-1) == batch["labels"]) | ~batch["wanted"]
    wanted = batch["wanted"].clone()
    wanted[:, 0] = False
    drafted = model.logits(model.mtp_forward(prefix, suffix)[wanted]).argmax(-1) == batch["labels"][wanted]
    return right.all(1).tolist(), drafted.tolist()


class Trainer:
    def __init__(self, rank, options, counter):
        self.rank, self.world, self.counter, self.options = rank, options.processes, counter, options
        model, mtp = make_model()
        self.auxiliary = Auxiliary(model.config.text_config.hidden_size)
        self.fast = fast.FastModel(model, mtp)
        self.named = named_parameters(model, mtp, self.auxiliary)
        self.optimizer = MuonAdam(self.named, rank, self.world, MUON_RATE, ADAM_RATE)
        self.directory = pathlib.Path(options.directory)
        self.step, self.spent, self.scores, self.means = 0, 0.0, {}, {}
        self.load()
        self.started = self.saved = self.evaluated = time.time()

    # ---- state

    def load(self):
        path = self.directory / "state.pt"
        if not path.exists():
            if self.options.weights:
                load_exported(self.options.weights, self.named)
            return
        state = torch.load(path, weights_only=False)
        self.step, self.spent, self.scores = state["step"], state["spent"], state["scores"]
        with torch.no_grad():
            for name, parameter in self.named:
                parameter.copy_(state["parameters"][name])
        self.optimizer.load(state["optimizer"])

    def save(self):
        path = self.directory / "state.pt"
        parameters = {name: parameter.detach() for name, parameter in self.named}
        torch.save({"step": self.step, "spent": self.minutes() * 60, "scores": self.scores, "parameters": parameters,
                    "optimizer": self.optimizer.state()}, str(path) + ".tmp")
        os.replace(str(path) + ".tmp", path)

    def minutes(self):
        return (self.spent + time.time() - self.started) / 60

    def say(self, text):
        with open(self.directory / "train.log", "a") as log:
            print("step %d, %.1f min: %s" % (self.step, self.minutes(), text), file=log)

    # ---- schedule

    def agree(self, value):
        """The first process's value in all processes: clocks differ."""
        if self.world > 1:
            box = torch.tensor([value], dtype=torch.float64)
            dist.broadcast(box, 0)
            return box.item()
        return value

    def factor(self, progress):
        return self.options.rate * min(1.0, (self.step + 1) / WARM_STEPS) * min(1.0, max(0.0, (1 - progress) / (1 - CONSTANT)))

    def shares(self):
        """Basic shares, up to three times as large where the last results are far from the goal."""
        return {kind: share * (1 + 2 * min(1.0, max(0.0, GOAL - self.scores.get(kind, GOAL)) / 0.4))
                for kind, share in batches.SHARES.items()}

    def slots(self):
        """The kinds of this step: systematic resampling, so that every kind gets its share without clumps."""
        shares, rng = self.shares(), random.Random("slots/%d" % self.step)
        kinds, total = list(shares), sum(shares.values())
        edges = np.cumsum([shares[kind] for kind in kinds]) / total
        at = (np.arange(SLOTS) + rng.random()) / SLOTS
        drawn = [kinds[min(i, len(kinds) - 1)] for i in np.searchsorted(edges, at)]
        return sorted(drawn, key=lambda kind: kind not in ("pic_off", "pic_on"))      # long ones first

    def level(self):
        """Greatest number of lines of a text: grows with what is mastered."""
        return int(4 + 60 * min(1.0, self.scores.get("reach", 0.0)))

    # ---- one micro-batch

    def losses(self, kind, batch, with_mtp):
        parts, image = {}, None
        if "pixels" in batch:
            image = self.fast.vision(batch["pixels"], batch["grid"])
            parts["cells"] = 0.5 * self.auxiliary.loss(image, batch["cell_class"], batch["cell_place"])
            if kind == "cells":
                return parts
        prefix, suffix = self.fast.forward(batch, image)
        wanted = batch["wanted"]
        weights = torch.ones(wanted.shape)
        if "copies" in batch:
            row, at, _, begins, _ = batch["copies"].unbind(1)
            weights[row, at] += (fast.BEGIN_WEIGHT - 1) * begins
        parts["answer"] = fast.weighted_mean(
            F.cross_entropy(self.fast.logits(suffix.x[wanted]), batch["labels"][wanted], reduction="none"), weights[wanted])
        if suffix.search_loss is not None:
            parts["search"] = SEARCH_WEIGHT * suffix.search_loss
        if with_mtp:
            wanted = wanted.clone()
            wanted[:, 0] = False
            out = self.fast.mtp_forward(prefix, suffix)
            parts["mtp"] = MTP_WEIGHT * F.cross_entropy(self.fast.logits(out[wanted], False), batch["labels"][wanted])
        return parts

    def train_step(self, progress):
        kinds, level = self.slots(), self.level()
        with_mtp = self.step >= MTP_FROM and self.step % (MTP_EVERY if progress < 0.7 else 2) == 0
        self.optimizer.zero()
        while True:
            with self.counter.get_lock():
                slot = self.counter.value - self.step * SLOTS
                if slot >= SLOTS:
                    break
                self.counter.value += 1
            kind = kinds[slot]
            batch = tensors(batches.arrays(batches.micro_batch(kind, "%s/%d/%d" % (self.options.seed, self.step, slot), level=level)))
            parts = self.losses(kind, batch, with_mtp)
            (sum(parts.values()) * LOSS_WEIGHT.get(kind, 1.0)).backward()
            for name, part in parts.items():
                key = kind + "." + name
                self.means[key] = 0.9 * self.means.get(key, part.item()) + 0.1 * part.item()
        norm = self.optimizer.step(self.factor(progress))
        self.step += 1
        if self.rank == 0 and self.step % 20 == 0:
            self.say("level %d, norm %.2f, %s" % (level, norm, " ".join("%s %.3f" % pair for pair in sorted(self.means.items()))))

    # ---- the curve

    def examine(self, rounds):
        """{task: [right or wrong, ...]} of this process's part of the validation split."""
        found = {}
        tests = examination()
        for turn in range(rounds * len(tests)):
            kind, level = tests[turn % len(tests)]
            if turn % self.world != self.rank:
                continue
            seed = "valid/%d/%d" % (self.step, turn)
            groups = batches.micro_batch(kind, seed, "valid", level=level)
            right, drafted = exact(self.fast, groups)
            items = [item for group in groups for item in group.items]
            for item, is_right in zip(items, right):
                name = "%s %s" % (item.kind, "on" if item.thinking else "off")
                if item.kind == "lookup":
                    found.setdefault("lookup/%d" % level, []).append(is_right)
                found.setdefault(name, []).append(is_right)
                found.setdefault("kind " + kind, []).append(is_right)
            found.setdefault("mtp", []).append(sum(drafted) / len(drafted))
        return found

    def evaluate(self, rounds):
        found = self.examine(rounds)
        if self.world > 1:
            parts = [None] * self.world
            dist.all_gather_object(parts, found)
            found = {name: sum((part.get(name, []) for part in parts), []) for name in set().union(*parts)}
        result = {name: sum(values) / len(values) for name, values in sorted(found.items())}
        for kind in batches.SHARES:
            if "kind " + kind in result:
                self.scores[kind] = result.pop("kind " + kind)
        self.scores["reach"] = self.reach(result)
        if self.rank == 0:
            line = {"step": self.step, "minutes": round(self.minutes(), 1), **{name: round(100 * v, 1) for name, v in result.items()}}
            with open(self.directory / "curve.jsonl", "a") as file:
                file.write(json.dumps(line) + "\n")

    def reach(self, result):
        """0..1: how far the texts may grow. Half of the questions right at a length opens the next one; late in the training all are open."""
        lengths = (4, 8, 16, 32, 64)
        mastered = next((i for i, n in enumerate(lengths) if result.get("lookup/%d" % n, 0) <= 0.5), len(lengths))
        clock = max(0.0, self.minutes() / self.options.minutes - 0.5) * 2.5
        return max((0.08, 0.15, 0.3, 0.6, 1.0, 1.0)[mastered], min(1.0, clock))

    # ---- the run

    def run(self):
        if self.options.weights and self.step == 0:
            self.evaluate(2)                    # where the given weights stand: the shares begin with it
        parent = os.getppid()
        while os.getppid() == parent:           # killed: its workers leave too, so that a resumed training is alone
            progress = self.agree(self.minutes()) / self.options.minutes
            if progress >= 1:
                self.finish()
                return
            self.train_step(progress)
            if self.agree(time.time() - self.evaluated) > EVALUATE_SECONDS:
                self.evaluate(2)
                self.evaluated = time.time()
            if self.rank == 0 and time.time() - self.saved > SAVE_SECONDS:
                self.save()
                self.saved = time.time()

    def finish(self):
        self.evaluate(6)
        if self.rank == 0:
            self.save()
            self.say("finished")


def process(rank, options, counter):
    torch.set_num_threads(1)
    if options.processes > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(options.port))
        dist.init_process_group("gloo", rank=rank, world_size=options.processes, timeout=datetime.timedelta(hours=20))
    trainer = Trainer(rank, options, counter)
    if rank == 0:
        counter.value = trainer.step * SLOTS
    if options.processes > 1:
        dist.barrier()
    trainer.run()
    if options.processes > 1:
        dist.barrier()


def main():
    parser = argparse.ArgumentParser(description="Trains qwren-nano; resumes what it finds in the directory.")
    parser.add_argument("directory")
    parser.add_argument("--minutes", type=float, default=110, help="length of the whole training, the schedule's clock")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--from", dest="weights", metavar="MODEL_DIR", help="begin with the weights of an exported checkpoint")
    parser.add_argument("--rate", type=float, default=1.0, help="highest learning rate, as a part of the usual one")
    parser.add_argument("--seed", default="train", help="names the sequence of examples")
    parser.add_argument("--port", type=int, default=29533)
    options = parser.parse_args()
    pathlib.Path(options.directory).mkdir(parents=True, exist_ok=True)
    context = mp.get_context("spawn")
    counter = context.Value("q", 0)
    workers = [context.Process(target=process, args=(rank, options, counter)) for rank in range(options.processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    raise SystemExit(max(abs(worker.exitcode or 0) for worker in workers))


if __name__ == "__main__":
    main()
