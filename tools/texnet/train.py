"""Train TexNet on procedural materials and write its weights. One command, no photograph, no download.

    python tools/texnet/train.py --cache texnet-images --work texnet-run --steps 568

Images are rendered once into --cache. Started again with the same --work, it continues from its last checkpoint. The
learning rate rises for 200 steps, stays for three quarters of the run and falls to zero in the last quarter; --minutes
fixes the number of steps when the fall begins and logs it, so `--steps` with that number repeats the run.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from augment import crops, deface, recolour
from numpy.typing import NDArray
from recipes import build_cache
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from blemish.features.frozen import tensors_sha256
from blemish.features.texnet import CHANNELS, MEAN, STAGES, STD, TexNet
from blemish.files import write_atomically, write_text

CLASSIFIED = ("stage3", "stage4")  # pooled maps that name the material
DEFACED = ("stage2", "stage3")  # maps that say where an image was spoilt


@dataclass(frozen=True)
class Plan:
    """What decides the result. Two runs with the same plan and `steps` give the same weights on one machine."""

    recipes: int = 1200
    pieces: int = 45
    size: int = 96
    crop: int = 64
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.05
    deep: float = 0.3
    deface: float = 0.5
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.crop <= self.size:
            raise SystemExit(f"--crop {self.crop} must lie between 1 and --size {self.size}")


class Learner(nn.Module):
    """The network with its teachers: classifiers on pooled maps, detectors of spoilt places on maps."""

    def __init__(self, recipes: int) -> None:
        super().__init__()
        self.net = TexNet(norm=True)
        self.material = nn.ModuleDict({s: nn.Linear(CHANNELS[s], recipes) for s in CLASSIFIED})
        self.spoilt = nn.ModuleDict({s: nn.Conv2d(CHANNELS[s], 1, 1) for s in DEFACED})
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """RGB in [0, 1] to the maps of all stages."""
        maps = self.net(((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last))
        return dict(zip(STAGES, maps, strict=True))


def losses(learner: Learner, plan: Plan, image: Tensor, label: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return the loss and what it is made of: material (two depths), spoilt places, accuracy."""
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.bf16):
        maps = learner(image)
        named = {s: head(maps[s].mean((2, 3))).float() for s, head in learner.material.items()}
        found = {s: head(maps[s]).float() for s, head in learner.spoilt.items()}
    deep, last = (F.cross_entropy(named[s], label) for s in CLASSIFIED)
    places = [F.binary_cross_entropy_with_logits(z, F.adaptive_avg_pool2d(mask, z.shape[2:])) for z in found.values()]
    spoilt = torch.stack(places).mean()
    loss = last + plan.deep * deep + plan.deface * spoilt
    accuracy = (named[CLASSIFIED[-1]].argmax(1) == label).float().mean()
    return {"loss": loss, "material": last, "deep": deep, "spoilt": spoilt, "accuracy": accuracy}


def draw(images: NDArray[np.uint8], plan: Plan, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return batch number `step`: images (B, 3, crop, crop) in [0, 1], recipes (B,), masks of spoilt places."""
    rng = np.random.default_rng([plan.seed, step])
    pixels, label = crops(images, rng, plan.batch, plan.crop)
    image = recolour(pixels.float() / 255, rng)
    if plan.deface == 0:
        return image, label, torch.zeros(len(image), 1, plan.crop, plan.crop)
    image, mask = deface(image, rng)
    return image, label, mask


@dataclass
class Clock:
    """How far a run is: `total` steps are known from the start (--steps), or when the fall begins (--minutes)."""

    total: int = 0
    minutes: float = 0.0
    step: int = 0
    seconds: float = 0.0

    def settle(self) -> None:
        """Fix the number of steps when three quarters of the time are over."""
        if not self.total and self.step and self.step % 3 == 0 and self.seconds >= 45 * self.minutes:
            self.total = self.step // 3 * 4

    def factor(self) -> float:
        """Return the learning rate's share for the coming step, in (0, 1]."""
        rise = (self.step + 1) / 200
        fall = (self.total - self.step) / max(1, self.total // 4) if self.total else 1.0
        return min(1.0, rise, fall)

    @property
    def done(self) -> bool:
        """Whether all steps are taken; False while their number is unknown."""
        return bool(self.total) and self.step >= self.total


def train(
    images: NDArray[np.uint8],
    plan: Plan,
    clock: Clock,
    work: Path,
    save_every: int = 500,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, values: None,
) -> Learner:
    """Train from the last checkpoint in `work`, or from the beginning, until the clock is done.

    Writes `work/checkpoint.safetensors` each `save_every` steps and `work/log.csv` each 50.
    """
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    learner = Learner(plan.recipes).to(memory_format=torch.channels_last).train()
    heavy = [p for p in learner.parameters() if p.ndim > 1]
    light = [p for p in learner.parameters() if p.ndim <= 1]  # biases and norms are not decayed
    optimiser = torch.optim.AdamW([{"params": heavy}, {"params": light, "weight_decay": 0.0}], weight_decay=plan.decay)
    checkpoint = work / "checkpoint.safetensors"
    if checkpoint.exists():
        restore(checkpoint, plan, learner, optimiser, clock)
    shorten(work / "log.csv", clock.step)
    started = time.monotonic() - clock.seconds
    while not clock.done:
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * clock.factor()
        values = losses(learner, plan, *draw(images, plan, clock.step))
        optimiser.zero_grad(set_to_none=True)
        values["loss"].backward()
        optimiser.step()
        clock.step, clock.seconds = clock.step + 1, time.monotonic() - started
        clock.settle()
        numbers = {name: float(value.detach()) for name, value in values.items()}
        if clock.step % 50 == 0 or clock.done:
            log(work / "log.csv", {**asdict(clock), "rate": plan.rate * clock.factor(), **numbers})
        if clock.step % save_every == 0 or clock.done:
            save(checkpoint, plan, learner, optimiser, clock)
        on_step(clock.step, numbers)
    return learner.eval()


def save(path: Path, plan: Plan, learner: Learner, optimiser: torch.optim.Optimizer, clock: Clock) -> None:
    """Write everything a killed run needs: weights, batch statistics, Adam's moments, the clock."""
    tensors = {f"learner.{name}": value.contiguous() for name, value in learner.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value.contiguous() for name, value in state.items()}
    metadata = {"plan": json.dumps(asdict(plan)), "clock": json.dumps(asdict(clock))}
    write_atomically(path, lambda part: save_file(tensors, part, metadata))


def restore(path: Path, plan: Plan, learner: Learner, optimiser: torch.optim.Optimizer, clock: Clock) -> None:
    """Put a checkpoint back; stop if it belongs to another plan."""
    with safe_open(path, framework="pt") as file:
        held, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    if json.loads(metadata["plan"]) != asdict(plan):
        raise SystemExit(
            f"{path} was written with {metadata['plan']}. Give the same options, or another --work folder."
        )
    learner.load_state_dict({k.removeprefix("learner."): v for k, v in held.items() if k.startswith("learner.")})
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in held.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            states.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    before = json.loads(metadata["clock"])
    clock.step, clock.seconds, clock.total = before["step"], before["seconds"], clock.total or before["total"]


def log(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, row.keys())
        if new:
            writer.writeheader()
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def shorten(path: Path, step: int) -> None:
    """Forget what was logged after `step`: those steps are taken again."""
    if path.exists():
        head, *rows = path.read_text().splitlines()
        at = head.split(",").index("step")
        write_text(path, "\n".join([head, *(row for row in rows if int(row.split(",")[at]) <= step)]) + "\n")


def fold(net: TexNet) -> TexNet:
    """Return the same function without batch norms: each goes into the convolution before it, in float64."""
    plain, state = TexNet(net.stages).eval(), {}
    for name, layer in _normed(net):
        convolution, norm = layer
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        state[f"{name}.0.weight"] = (convolution.weight.double() * scale[:, None, None, None]).float()
        state[f"{name}.0.bias"] = (norm.bias.double() - norm.running_mean.double() * scale).float()
    plain.load_state_dict({k: v.detach() for k, v in state.items()})
    return plain


def _normed(net: TexNet) -> Iterator[tuple[str, nn.Sequential]]:
    for name, module in net.named_modules():
        if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
            yield name, module[:2]


def export(learner: Learner, path: Path, version: str, trained: dict[str, Any]) -> None:
    """Write the folded network as float16 .safetensors with its hash and how it was made."""
    tensors = {name: value.contiguous().half() for name, value in fold(learner.net).state_dict().items()}
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise SystemExit("a weight does not fit into float16; nothing was written")
    metadata = {
        "name": "texnet_s",
        "version": version,
        "licence": "Apache-2.0",
        "sha256": tensors_sha256(tensors),
        "trained": json.dumps(trained),
    }
    write_atomically(path, lambda part: save_file(tensors, part, metadata))


def cached(folder: Path, plan: Plan, workers: int) -> NDArray[np.uint8]:
    """Return the rendered images, rendering them first if this folder does not hold them."""
    path = folder / f"images-r{plan.recipes}-n{plan.pieces}-s{plan.size}-seed{plan.seed}.npy"
    if not path.exists():
        count = plan.recipes * plan.pieces
        print(f"rendering {count} images ({count * plan.size**2 * 3 / 1e9:.2f} GB) into {path}", flush=True)
        build_cache(path, plan.recipes, plan.pieces, plan.seed, plan.size, workers)
    return np.load(path, mmap_mode="r")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the rendered images, about 28 kB each")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoint.safetensors and log.csv")
    parser.add_argument("--out", type=Path, help="weights to write (default: WORK/texnet_s.safetensors)")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="wall time of the whole run in minutes")
    length.add_argument("--steps", type=int, help="number of optimiser steps of the whole run, a multiple of 4 is best")
    helps = {
        "recipes": "number of materials",
        "pieces": "images of each material",
        "size": "side of a cached image in pixels",
        "crop": "side of a training crop in pixels",
        "batch": "images a step",
        "rate": "highest learning rate of AdamW",
        "decay": "weight decay of AdamW",
        "deep": "weight of naming the material from stage 3 as well",
        "deface": "weight of finding spoilt places; 0 spoils nothing",
        "seed": "decides images, start weights and batches",
    }
    for field in fields(Plan):
        if field.name != "bf16":
            kind = float if isinstance(field.default, float) else int
            parser.add_argument(
                f"--{field.name}",
                type=kind,
                default=field.default,
                help=f"{helps[field.name]} (default {field.default})",
            )
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 (default yes)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the training (default 2)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the rendering (default 2)")
    parser.add_argument("--save-every", type=int, default=500, help="steps between checkpoints (default 500)")
    parser.add_argument("--version", default="1", help="version written into the weights (default 1)")
    return parser.parse_args()


def main() -> None:
    given = options()
    torch.set_num_threads(given.threads)
    plan = Plan(**{field.name: getattr(given, field.name) for field in fields(Plan)})
    clock = Clock(total=given.steps or 0, minutes=given.minutes or 0.0)
    images = cached(given.cache, plan, given.workers)

    def report(step: int, values: dict[str, float]) -> None:
        if step % 200 == 0:
            shown = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
            print(f"step {step}  {clock.seconds / 60:.1f} min  {shown}", flush=True)

    learner = train(images, plan, clock, given.work, given.save_every, report)
    trained = {**asdict(plan), "steps": clock.step, "minutes": round(clock.seconds / 60, 1), "torch": torch.__version__}
    out = given.out or given.work / "texnet_s.safetensors"
    export(learner, out, given.version, trained)
    print(f"{clock.step} steps in {clock.seconds / 60:.1f} min; wrote {out}, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
