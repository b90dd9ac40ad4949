"""Average the weights of several runs that lie in one valley, balance the result and write it as it is shipped.

    python tools/texnet/average.py --cache texnet-images --weights a.safetensors b.safetensors --out c.safetensors

Runs that came from one start and went not too far from one another agree on what each channel is for; their average is
steadier than any of them. `--last stage4_neck` takes tensors whose names begin so from the last file alone, where the
others were trained for something else.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from learner import Learner, Plan
from progress import learner_weights, read_checkpoint
from shipping import fold, sample, write_weights
from torch import Tensor
from train import cached

from blemish.features.texnet import SIZES, Size, TexNet


def folded(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights without norms that lie in a checkpoint, or in a file as it is shipped, and how they were made."""
    held, metadata = read_checkpoint(path)
    if "plan" not in metadata:
        return held, json.loads(metadata["trained"])
    plan = json.loads(metadata["plan"])
    learner = Learner(Plan(**plan))
    learner.load_state_dict(learner_weights(held))
    return fold(learner.eval().net).state_dict(), {**plan, "steps": json.loads(metadata["clock"])["step"]}


def averaged(
    size: Size, weights: Sequence[dict[str, Tensor]], shares: Sequence[float], last: str | None = None
) -> TexNet:
    """Return the folded network whose tensors are the means of `weights`, by `shares`; float32.

    Raises:
        SystemExit: there are not as many shares as weights, they are not positive, or the tensors differ.
    """
    if len(weights) != len(shares) or min(shares) <= 0:
        raise SystemExit(
            f"--shares {' '.join(map(str, shares))}: give {len(weights)} positive numbers, one for each file"
        )
    net = TexNet(size).eval()
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    if any({name: value.shape for name, value in some.items()} != shapes for some in weights):
        raise SystemExit(
            "--weights: the files are not all of one size of texnet and of this version; their tensors differ"
        )
    whole = sum(shares)
    state = {
        name: weights[-1][name].float()
        if last is not None and name.startswith(last)
        else torch.stack([share / whole * some[name].float() for share, some in zip(shares, weights, strict=True)]).sum(
            0
        )
        for name in shapes
    }
    net.load_state_dict(state)
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="the last run's images, to balance the maps on")
    parser.add_argument(
        "--weights", type=Path, nargs="+", required=True, help="checkpoints, or weights that train.py wrote"
    )
    parser.add_argument("--shares", type=float, nargs="+", help="share of each (default: alike)")
    parser.add_argument("--last", help="tensors whose names begin so are the last file's alone")
    parser.add_argument(
        "--start-steps", type=int, default=0, help="steps that lie behind all of them, to be written down"
    )
    parser.add_argument("--out", type=Path, required=True, help="weights to write")
    parser.add_argument("--version", default="4", help="version written into the weights (default 4)")
    given = parser.parse_args()
    shares = given.shares or [1.0] * len(given.weights)
    read = [folded(path) for path in given.weights]
    made = [how for _, how in read]
    plan = Plan(**{field.name: made[-1][field.name] for field in fields(Plan) if field.name in made[-1]})
    net = averaged(SIZES[plan.net], [tensors for tensors, _ in read], shares, given.last)
    average = [{**one, "part": share} for share, one in zip(shares, made, strict=True)]
    trained = {**made[-1], "start_steps": given.start_steps, "average": average}
    write_weights(net, sample(cached(given.cache, plan, 2)), plan, given.out, given.version, trained)
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
