"""Train a TexNet on procedural materials and write its weights. One command, no photograph, no download.

    python tools/texnet/train.py --cache texnet-images --work texnet-run --steps 12000

Images are rendered once into --cache. Started again with the same --work, it continues from its last checkpoint. The
learning rate rises for 200 steps, stays for three quarters of the run and falls to zero in the last quarter; --minutes
fixes the number of steps when the fall begins and logs it, so `--steps` with that number repeats the run.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from episodes import Episode, Pieces
from learner import Draw, Learner, Plan, draw, losses
from progress import Clock, learner_weights, log, read_checkpoint, restore, save, shorten, steps_of
from recipes import build_cache
from shipping import export
from starts import take_over, unfold
from torch import nn


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
    "coarse": "share of the tasks and views seen by a camera of fewer pixels than shown",
    "context": "let stage 3's map carry stage 4's (default yes)",
    "bf16": "bfloat16 (default yes)",
    "seed": "decides images, start weights and batches",
    "draws": "another number draws other batches of the same images",
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
    parser.add_argument("--version", default="4", help="version written into the weights (default 4)")
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
