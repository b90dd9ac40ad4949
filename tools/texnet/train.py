"""Train a TexNet on procedural materials and write its weights. One command, no photograph, no download.

    python tools/texnet/train.py --cache texnet-images --work texnet-run --steps 12000

Images are rendered once into --cache. Started again with the same --work, it continues from its last checkpoint. The
learning rate rises for 200 steps, stays for three quarters of the run and falls to zero in the last quarter; --minutes
fixes the number of steps when the fall begins and logs it, so `--steps` with that number repeats the run.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from episodes import Episode, Pieces, episode, views
from objective import ranking
from recipes import build_cache
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from blemish.detector import tensors_sha256
from blemish.features.texnet import MEAN, SIZES, STAGES, STD, Size, TexNet
from blemish.files import write_atomically, write_text

NAMED = 12  # views of each material by which classifiers are made for weights that come without


@dataclass(frozen=True)
class Plan:
    """What decides the result. Two runs with the same plan and `steps` give the same weights on one machine."""

    net: str = "texnet_s"
    recipes: int = 2400
    pieces: int = 14
    size: int = 160
    materials: int = 8
    references: int = 2
    queries: int = 2
    crop: int = 128
    views: int = 96
    view: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    single: float = 0.3
    mixed: float = 0.2
    peak: float = 0.0
    naming: float = 0.3
    share: float = 0.5
    context: bool = True
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.net not in SIZES:
            raise SystemExit(f"--net {self.net} is not known; choose from {', '.join(SIZES)}")
        if not 0 < self.crop <= self.size or not 0 < self.view <= self.size:
            raise SystemExit(f"--crop {self.crop} and --view {self.view} must lie between 1 and --size {self.size}")
        if self.references + self.queries > self.pieces or max(self.materials, self.views) > self.recipes:
            raise SystemExit("--pieces must hold --references and --queries, --recipes the --materials and --views")


class Draw(NamedTuple):
    """One step's data."""

    episode: Episode
    views: Tensor  # (B, 3, view, view) float32 in [0, 1]
    recipes: Tensor  # (B,)


class Maps(NamedTuple):
    """What the losses see of an image."""

    ranked: list[Tensor]  # of strides 4, 8 and 16
    named: list[Tensor]  # of strides 16 and 32, or, with context, both of 16


class Learner(nn.Module):
    """The network with its classifiers of materials.

    The first half of stage 3's projection is there to be ranked, the second for naming; see `objective.py`. With
    `plan.context` stage 4's is divided likewise, and both go into stage 3's map, as in use. Without, stage 4 is for naming
    only: a first run learns faster so.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.net, self.context = TexNet(SIZES[plan.net], norm=True), plan.context
        size = self.net.size
        middle, last = size.necks[2] - size.ranked, size.necks[3] - (size.ranked if plan.context else 0)
        self.material = nn.ModuleList([nn.Linear(middle, plan.recipes), nn.Linear(last, plan.recipes)])
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Maps:
        """RGB in [0, 1] to the maps to rank and to name."""
        maps = self.net.projections(((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last))
        third, fourth = maps["stage3"], maps["stage4"]
        ranked, named = self.net.size.ranked, self.net.size.necks[2]
        if self.context:
            third = self.net.with_context(third, fourth)
            fourth = third[:, named:]
        return Maps([maps["stage1"], maps["stage2"], third[:, :ranked]], [third[:, ranked:named], fourth])


def losses(learner: Learner, plan: Plan, drawn: Draw, step: int) -> dict[str, Tensor]:
    """Return the loss and what it is made of; `drawn` is wherever the learner is."""
    with torch.autocast(drawn.views.device.type, torch.bfloat16, enabled=plan.bf16):
        maps = learner(drawn.episode.images.flatten(0, 1))
        named = learner(drawn.views).named
    beside = maps.named if plan.context else []
    weights = (plan.single, plan.mixed, plan.peak, plan.share)
    found = ranking(maps.ranked, beside, drawn.episode, *weights, torch.Generator().manual_seed(step))
    answers = [head(map.float().mean((2, 3))) for head, map in zip(learner.material, named, strict=True)]
    middle, last = (F.cross_entropy(answer, drawn.recipes) for answer in answers)
    accuracy = (answers[0].argmax(1) == drawn.recipes).float().mean()
    loss = found["ranking"] + plan.naming * (middle + last)
    return {"loss": loss, **found, "naming": middle, "naming_last": last, "accuracy": accuracy}


def draw(pieces: Pieces, plan: Plan, step: int) -> Draw:
    """Return the data of step number `step`."""
    tasks, single = np.random.default_rng([plan.seed, step]), np.random.default_rng([plan.seed, step, 1])
    sizes = (plan.materials, plan.references, plan.queries, plan.crop)
    return Draw(episode(pieces, tasks, *sizes), *views(pieces, single, plan.views, plan.view))


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
    pieces: Pieces,
    plan: Plan,
    clock: Clock,
    work: Path,
    save_every: int = 500,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, values: None,
    start: Path | None = None,
    device: str = "cpu",
    drawers: int = 1,
) -> Learner:
    """Train from the last checkpoint in `work`, else from `start`, else from random weights.

    `start` is another run's checkpoint, or weights that a run has written (see `unfold`).

    `drawers` threads draw batches ahead; their number changes nothing else. On a GPU the same seed gives other rounding.
    Writes `work/checkpoint.safetensors` each `save_every` steps and `work/log.csv`, a mean over 50 steps a row.
    """
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    learner = Learner(plan).to(device, memory_format=torch.channels_last).train()
    heavy = [p for p in learner.parameters() if p.ndim > 1]
    light = [p for p in learner.parameters() if p.ndim <= 1]  # biases and norms are not decayed
    optimiser = torch.optim.AdamW([{"params": heavy}, {"params": light, "weight_decay": 0.0}], weight_decay=plan.decay)
    checkpoint = work / "checkpoint.safetensors"
    if checkpoint.exists():
        restore(checkpoint, plan, learner, optimiser, clock)
    elif start is not None:
        held, metadata = read_checkpoint(start)
        if "plan" in metadata:
            take_over(learner, learner_weights(held))
        else:
            unfold(learner.cpu(), held, pieces, plan)
            learner.to(device)
    shorten(work / "log.csv", clock.step)
    started, recent = time.monotonic() - clock.seconds, []
    with ThreadPoolExecutor(drawers) as pool:
        ahead = prefetched(pool, pieces, plan, clock.step, drawers)
        while not clock.done:
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * clock.factor()
            values = losses(learner, plan, moved(next(ahead), device), clock.step)
            optimiser.zero_grad(set_to_none=True)
            values["loss"].backward()
            nn.utils.clip_grad_norm_(learner.parameters(), 5.0)
            optimiser.step()
            clock.step, clock.seconds = clock.step + 1, time.monotonic() - started
            clock.settle()
            recent.append({name: float(value.detach()) for name, value in values.items()})
            if clock.step % 50 == 0 or clock.done:
                means = {name: float(np.mean([row[name] for row in recent])) for name in recent[0]}
                log(work / "log.csv", {**asdict(clock), "rate": plan.rate * clock.factor(), **means})
                recent.clear()
            if clock.step % save_every == 0 or clock.done:
                save(checkpoint, plan, learner, optimiser, clock)
            on_step(clock.step, recent[-1] if recent else means)
    return learner.eval()


def unfold(learner: Learner, weights: dict[str, Tensor], pieces: Pieces, plan: Plan) -> None:
    """Load weights as they are shipped: without batch norms, and without the classifiers of naming.

    Each norm gets the statistics that its convolution has on the first step's pictures, and undoes them: the function stays
    the same. Each classifier becomes the linear discriminant of the materials, from NAMED views of each.
    """
    convolutions = {name: value.float() for name, value in weights.items() if name.endswith(".0.weight")}
    learner.net.load_state_dict(convolutions, strict=False)

    def settle(name: str, norm: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
        norm.running_mean, norm.running_var = given[0].mean((0, 2, 3)), given[0].var((0, 2, 3))
        norm.weight.data = (norm.running_var + norm.eps).sqrt()
        norm.bias.data = weights[f"{name}.0.bias"].float() + norm.running_mean

    learner.eval()
    hooks = [norm.register_forward_pre_hook(partial(settle, name)) for name, (_, norm) in _normed(learner.net)]
    with torch.no_grad():
        learner(draw(pieces, plan, 0).episode.images.flatten(0, 1))
        for hook in hooks:
            hook.remove()
        batches = [
            views(pieces, np.random.default_rng([plan.seed, i, 2]), plan.views, plan.view)
            for i in range(-(-NAMED * plan.recipes // plan.views))
        ]
        answers = torch.cat([recipes for _, recipes in batches])
        seen = [[map.mean((2, 3)) for map in learner(images).named] for images, _ in batches]
        for head, features in zip(learner.material, zip(*seen, strict=True), strict=True):
            discriminate(head, torch.cat(features), answers)
    learner.train()


def discriminate(head: nn.Linear, features: Tensor, answers: Tensor) -> None:
    """Make `head` the linear discriminant of (N, C) features by their (N,) answers; classes without any get zeros."""
    count = torch.zeros(head.out_features).index_add_(0, answers, torch.ones(len(answers)))
    means = torch.zeros(head.out_features, features.shape[1]).index_add_(0, answers, features)
    means /= count.clamp(min=1)[:, None]
    within = features - means[answers]
    spread = within.T @ within / len(within)
    spread += 0.1 * spread.trace() / len(spread) * torch.eye(len(spread))
    head.weight.data = torch.linalg.solve(spread, means.T).T.contiguous()
    head.bias.data = -0.5 * (head.weight * means).sum(1)


def take_over(learner: Learner, weights: dict[str, Tensor]) -> None:
    """Load another run's weights; where that one was without context and this one is with it, stage 4 adds nothing yet."""
    last = learner.material[1].weight
    if weights["material.1.weight"].shape != last.shape:
        ranked = learner.net.size.ranked
        weights["material.1.weight"] = weights["material.1.weight"][:, ranked:]
        for part in ("weight", "bias"):
            weights[f"net.stage4_neck.1.{part}"][:ranked] = 0
    learner.load_state_dict(weights)


def moved(drawn: Draw, device: str) -> Draw:
    """Return one step's data on `device`."""
    episode = Episode(*(part.to(device, non_blocking=True) for part in drawn.episode))
    return Draw(episode, drawn.views.to(device, non_blocking=True), drawn.recipes.to(device))


def prefetched(pool: ThreadPoolExecutor, pieces: Pieces, plan: Plan, step: int, drawers: int) -> Iterator[Draw]:
    """Yield the data of `step`, `step + 1`, ... while the next ones are being drawn."""
    waiting: deque[Future[Draw]] = deque()
    try:
        while True:
            while len(waiting) < 2 * drawers + 1:
                waiting.append(pool.submit(draw, pieces, plan, step))
                step += 1
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def save(path: Path, plan: Plan, learner: Learner, optimiser: torch.optim.Optimizer, clock: Clock) -> None:
    """Write everything a killed run needs: weights, batch statistics, Adam's moments, the clock."""
    tensors = {f"learner.{name}": value.contiguous() for name, value in learner.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value.contiguous() for name, value in state.items()}
    metadata = {"plan": json.dumps(asdict(plan)), "clock": json.dumps(asdict(clock))}
    write_atomically(path, lambda part: save_file(tensors, part, metadata))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata that `save` wrote."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def steps_of(path: Path) -> int:
    """Return how many steps lie behind a checkpoint, or behind shipped weights with the runs before theirs."""
    metadata = read_checkpoint(path)[1]
    if "clock" in metadata:
        return int(json.loads(metadata["clock"])["step"])
    trained = json.loads(metadata["trained"])
    return int(trained["start_steps"] + trained["steps"])


def learner_weights(held: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's weights under the learner's own names."""
    return {key.removeprefix("learner."): value for key, value in held.items() if key.startswith("learner.")}


def restore(path: Path, plan: Plan, learner: Learner, optimiser: torch.optim.Optimizer, clock: Clock) -> None:
    """Put a checkpoint back; stop if it belongs to another plan."""
    held, metadata = read_checkpoint(path)
    if json.loads(metadata["plan"]) != asdict(plan):
        raise SystemExit(
            f"{path} was written with {metadata['plan']}. Give the same options, or another --work folder."
        )
    learner.load_state_dict(learner_weights(held))
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
    plain, state = TexNet(net.size, net.stages).eval(), {}
    for name, (convolution, norm) in _normed(net):
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        state[f"{name}.0.weight"] = (convolution.weight.double() * scale[:, None, None, None]).float()
        state[f"{name}.0.bias"] = (norm.bias.double() - norm.running_mean.double() * scale).float()
    plain.load_state_dict({k: v.detach() for k, v in state.items()})
    return plain


def _normed(net: TexNet) -> Iterator[tuple[str, nn.Sequential]]:
    for name, module in net.named_modules():
        if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
            yield name, module[:2]


def balance(net: TexNet, images: Tensor, share: float) -> TexNet:
    """Scale a folded net's maps, in place: what was ranked keeps its proportions, naming counts `share` beside it.

    Measured on `images`, (N, 3, H, W) in [0, 1]: the mean variance of a channel of the ranked maps of strides 8 and 16
    becomes 1, and the summed variance of stage 3's and of stage 4's naming parts, each, `share`^2 of that of all ranked
    channels. Stage 1 gets a mean variance of 1.
    """
    size, third = net.size, net.size.necks[2]
    with torch.inference_mode():
        maps = [
            torch.cat(parts)
            for parts in zip(*(net((some - MEAN[0]) / STD[0]) for some in images.split(32)), strict=True)
        ]
    parts = (maps[0], maps[1], *(maps[2][:, at] for at in _parts(size)))
    spread = [float(map.var((0, 2, 3)).sum()) for map in parts]
    joint = ((size.necks[1] + size.ranked) / (spread[1] + spread[2])) ** 0.5
    middle, last = (share * ((size.necks[1] + size.ranked) / some) ** 0.5 for some in spread[3:])
    scales = {
        "stage1": torch.full((size.necks[0],), (size.necks[0] / spread[0]) ** 0.5),
        "stage2": torch.full((size.necks[1],), joint),
        "stage3": torch.tensor([joint] * size.ranked + [middle] * (third - size.ranked)),
        "stage4": torch.tensor([joint] * size.ranked + [last] * (size.necks[3] - size.ranked)),
    }
    with torch.no_grad():
        for stage in STAGES:
            neck = net.get_submodule(f"{stage}_neck")[0]
            neck.weight *= scales[stage][:, None, None, None]
            neck.bias *= scales[stage]
    return net


def _parts(size: Size) -> tuple[slice, slice, slice]:
    """Where the ranked channels, stage 3's naming and stage 4's naming lie in stage 3's map."""
    ranked, third = size.ranked, size.necks[2]
    return slice(0, ranked), slice(ranked, third), slice(third, size.channels[2])


def export(learner: Learner, pieces: Pieces, plan: Plan, path: Path, version: str, trained: dict[str, Any]) -> None:
    """Write the folded, balanced network as float16 .safetensors with its hash and how it was made."""
    some = pieces[:: -(-len(pieces) // 256), 0]
    net = balance(fold(learner.net), torch.from_numpy(some.copy()).permute(0, 3, 1, 2).float() / 255, plan.share)
    tensors = {name: value.contiguous().half() for name, value in net.state_dict().items()}
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise SystemExit("weights are not finite in float16; train again with a lower --rate")
    metadata = {
        "name": plan.net,
        "version": version,
        "licence": "Apache-2.0",
        "sha256": tensors_sha256(tensors),
        "trained": json.dumps(trained),
    }
    write_atomically(path, lambda part: save_file(tensors, part, metadata))


def cached(folder: Path, plan: Plan, workers: int) -> Pieces:
    """Return the rendered pieces, memory-mapped; render them first if `folder` does not hold them."""
    path = folder / f"pieces-{plan.recipes}x{plan.pieces}-{plan.size}px-seed{plan.seed}.npy"
    if not path.exists():
        print(f"rendering {plan.recipes * plan.pieces} images into {path}", flush=True)
        build_cache(path, plan.recipes, plan.pieces, plan.seed, plan.size, workers)
    found: Pieces = np.load(path, mmap_mode="r")
    return found


HELP = {
    "net": "which size",
    "recipes": "number of materials",
    "pieces": "images of each material",
    "size": "side of a cached image in pixels",
    "materials": "tasks in an episode",
    "references": "good pictures of a task",
    "queries": "pictures in question of a task",
    "crop": "side of an episode's pictures in pixels",
    "views": "views to be named in a step",
    "view": "side of a view in pixels",
    "rate": "highest learning rate of AdamW",
    "decay": "weight decay of AdamW",
    "single": "weight of ranking by each stage alone",
    "mixed": "weight of telling the tasks' banks apart",
    "peak": "weight of ranking whole parts by their worst patch",
    "naming": "weight of naming materials",
    "share": "weight of each naming part in the shipped maps",
    "context": "let stage 3's map carry stage 4's (default yes)",
    "bf16": "bfloat16 (default yes)",
    "seed": "decides images, start weights and batches",
}
SWITCHES = ("context", "bf16")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the rendered images, 77 kB each")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoint.safetensors and log.csv")
    parser.add_argument("--start", type=Path, help="a checkpoint or weights of another run to start from")
    parser.add_argument("--out", type=Path, help="weights to write (default: WORK/NET.safetensors)")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="wall time of the whole run in minutes")
    length.add_argument("--steps", type=int, help="number of optimiser steps of the whole run, a multiple of 4 is best")
    for field in fields(Plan):
        if field.name not in SWITCHES:
            shown = f"{HELP[field.name]} (default {field.default})"
            parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default, help=shown)
    for name in SWITCHES:
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=True, help=HELP[name])
    parser.add_argument("--threads", type=int, default=2, help="threads of the training (default 2)")
    parser.add_argument("--device", default="cpu", help="where to train: cpu (default), cuda")
    parser.add_argument(
        "--drawers", type=int, default=1, help="threads that draw batches; a GPU wants several (default 1)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes of the rendering (default 2)")
    parser.add_argument("--save-every", type=int, default=500, help="steps between checkpoints (default 500)")
    parser.add_argument("--version", default="3", help="version written into the weights (default 3)")
    return parser.parse_args()


def main() -> None:
    given = options()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(1)
    plan = Plan(**{field.name: getattr(given, field.name) for field in fields(Plan)})
    clock = Clock(total=given.steps or 0, minutes=given.minutes or 0.0)
    pieces = cached(given.cache, plan, given.workers)

    def report(step: int, values: dict[str, float]) -> None:
        if step % 200 == 0:
            shown = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
            print(f"step {step}  {clock.seconds / 60:.1f} min  {shown}", flush=True)

    learner = train(pieces, plan, clock, given.work, given.save_every, report, given.start, given.device, given.drawers)
    learner.cpu()
    trained = {
        **asdict(plan),
        "start_steps": steps_of(given.start) if given.start else 0,
        "steps": clock.step,
        "minutes": round(clock.seconds / 60, 1),
        "torch": torch.__version__,
    }
    out = given.out or given.work / f"{plan.net}.safetensors"
    export(learner, pieces, plan, out, given.version, trained)
    print(f"{clock.step} steps in {clock.seconds / 60:.1f} min; wrote {out}, {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
