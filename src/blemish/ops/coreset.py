"""Greedy k-centre selection: the few points that leave no other point far from them.

Every pick is the point farthest from all picks so far. By the definition each pick costs the distances of all points to
it. On the CPU far fewer are begun, and few of those finished; the picks are the same:

- **Late.** A point's distance to its nearest pick only ever shrinks, so one measured long ago is still an upper limit.
  Only the farthest point is wanted: who is known to be nearer than some level cannot be it, and is not looked at again
  before the picks have come down to that level. Selection therefore goes by rounds. A round lowers the level a little and
  lets all points whose limit is above it meet the picks they have not met, newest first (they are the likeliest to be
  near), each until its limit falls below the level: most leave early. Those who stay above, the active few, are then
  compared with every new pick at once, until all of them are below the level, and the next round begins.
- **In bulk.** What waits is done many picks at a time, on all threads, from tiles of 64 picks, one pick a lane, that stay
  in the cache for some points. A scan of all points for every pick waits for the memory instead.
- **Leading dimensions first.** The points are rotated to their principal axes, which leaves distances as they are. Over
  the first axes the sum mostly is beyond the limit already, and the rest is not computed.

Nothing is approximate: every limit that is not lowered is proven by a distance or a part of one. But sums are taken in
other orders than elsewhere (fastmath `reassoc` and `contract`, nothing else), so of two points that are equally far up to
float rounding either may be picked. Equal to the last bit, the first is. The number of threads changes nothing after the
projection (torch's product, which may round differently).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.core.errors import InputError
from blemish.core.progress import progress
from blemish.ops import neighbours
from blemish.ops.threads import together
from blemish.ops.tiles import BLOCK, LANES, STEP, as_tiles, loops, principal_axes

ACTIVE = 2048  # at most so many active points
WORTH = 1 << 30  # multiplications by the definition above which the loops pay for being loaded, most of a second
EXCESS = 2  # a chunk of a stream keeps so many times its share


class Coreset(NamedTuple):
    """Which points were picked, and how far any point is from its nearest pick, at most (in the projected space)."""

    picks: Tensor  # (count,) int64, in the order they were picked
    radius: float


def greedy_coreset(
    points: Tensor | Sequence[Tensor], count: int, *, projection: int | None = 128, starts: int = 10, seed: int = 0
) -> Coreset:
    """Select a greedy k-centre subset of points.

    Each pick is the point farthest from all picks so far. The first pick is the point with the largest mean distance to
    `starts` random points, which are not picked themselves, as in the official PatchCore code. With a given seed the
    result is deterministic. Memory beyond the projected (or, without projection, copied) points and picks: a few
    vectors of N, and a byte for each 512 pairs of a point and a pick.

    Args:
        points: (N, D) float32, in one piece or several.
        count: How many to select, 1 to N.
        projection: Dimensions of a random Gaussian projection in which distances are measured; None, or D not larger:
            none.
        starts: Random points that the first pick is far from.
        seed: Decides projection and starts.

    Returns:
        The picks in their order, and how well they cover the points.

    Raises:
        InputError: `count` is not between 1 and N.
    """
    pieces = [points] if isinstance(points, Tensor) else list(points)
    n, dims = sum(map(len, pieces)), pieces[0].shape[1] if pieces else 0
    if not 1 <= count <= n:
        raise InputError(f"a coreset of {count} of {n} points is impossible; ask for 1 to {n}")
    device, generator = pieces[0].device, torch.Generator().manual_seed(seed)
    matrix = None
    if projection is not None and projection < dims:
        matrix = torch.randn(dims, projection, generator=generator) / projection**0.5
    first = torch.randperm(n, generator=generator)[: min(starts, n)].to(device)
    on_cpu = device.type == "cpu"
    if on_cpu:
        matrix = _rotated(pieces, matrix)
    projected = _projected(pieces, n, None if matrix is None else matrix.to(device))
    nearest = torch.cdist(projected, projected[first], compute_mode="donot_use_mm_for_euclid_dist").mean(1).square()
    if on_cpu and n * count * projected.shape[1] >= WORTH and bool(nearest.isfinite().all()):
        rounds = _Rounds(projected, nearest, count, torch.get_num_threads())
        for _ in progress(rounds.run(), "coreset", total=count):
            pass
        picks, limits = torch.from_numpy(rounds.picks), torch.from_numpy(rounds.limits)
    else:
        picks, limits = _plain(projected, nearest, count)
    never = limits == nearest  # no pick came nearer than the mean of the starts, which are no picks
    if bool(never.any()):
        limits[never] = neighbours.nearest(projected[never], projected[picks])[0][:, 0]
    return Coreset(picks, float(limits.max().clamp(min=0)) ** 0.5)


def _projected(pieces: Sequence[Tensor], n: int, matrix: Tensor | None) -> Tensor:
    """Return all points in one tensor, times the matrix if there is one, about their mean; nothing but that tensor is made.

    Distances stay as they are, and what all points share no longer takes digits from them.
    """
    whole = torch.empty(n, pieces[0].shape[1] if matrix is None else matrix.shape[1], device=pieces[0].device)
    for piece, rows in zip(pieces, torch.split(whole, [len(piece) for piece in pieces]), strict=True):
        rows.copy_(piece.detach() if matrix is None else piece.detach().float() @ matrix)
    centre = whole[:: -(-n // 4096)].mean(0)
    return whole.sub_(centre) if bool(centre.isfinite().all()) else whole


def _plain(points: Tensor, nearest: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Select by looking at all points for every pick; for GPUs, few points, and points that are not all finite.

    Returns the picks and every point's squared distance to the nearest of them, -1 for the picks themselves.
    """
    norms = points.square().sum(1)
    picks = torch.empty(count, dtype=torch.int64, device=points.device)
    for step in progress(range(count), "coreset"):
        pick = picks[step] = nearest.argmax()
        squared = torch.addmv(norms + norms[pick], points, points[pick], alpha=-2).clamp_(min=0)  # no (N, D) temporary
        nearest = torch.where(squared < nearest, squared, nearest)
        nearest[pick] = -1.0  # below every distance: rounding, or a twin, cannot bring it back
    return picks, nearest


def _rotated(pieces: Sequence[Tensor], matrix: Tensor | None) -> Tensor | None:
    """The projection followed by the rotation to principal axes, so that the first dimensions say the most."""
    every = -(-sum(map(len, pieces)) // 4096)
    sample = torch.cat([piece[::every].detach().float() for piece in pieces])
    sample = sample if matrix is None else sample @ matrix
    if sample.shape[1] <= 2 * STEP or not bool(sample.isfinite().all()):  # nothing to gain
        return matrix
    axes = principal_axes(sample)
    return axes if matrix is None else matrix @ axes


class _Rounds:
    """The selection on the CPU: `run` fills `picks`; `looked` counts distances begun and, of these, finished."""

    def __init__(self, points: Tensor, nearest: Tensor, count: int, threads: int) -> None:
        dims = points.shape[1]
        points = torch.nn.functional.pad(points, (0, -dims % 8)) if dims % 8 else points.contiguous()
        self.points = points.numpy()
        self.limits = nearest.numpy().copy()  # squared distance to the nearest pick, or more; -1: picked
        self.picks = np.empty(count, np.int64)
        self.tiles = np.zeros((-(-count // LANES), points.shape[1], LANES), np.float32)  # the picks' coordinates
        self.met = np.zeros((len(points), -(-len(self.tiles) // 8)), np.uint8)  # a bit for each full tile, if met
        self.threads = threads
        self.looked = np.zeros(2, np.int64)

    def run(self) -> Iterator[None]:
        """Yield once for every pick."""
        walk, pick, _ = loops()
        state = self.points, self.tiles, self.picks, self.limits, self.met
        count, done, step, level = len(self.picks), 0, 0.1, np.float32(np.inf)
        while done < count:
            top = self.limits.max()
            if top == 0:  # only twins of picks are left
                self.picks[done:] = np.flatnonzero(self.limits == 0)[: count - done]
                yield from repeat(None, count - done)
                return
            level = np.float32(min(level, top) * (1 - step))
            above = np.flatnonzero(self.limits >= level)
            jobs = min(self.threads, -(-len(above) // BLOCK))
            looked = np.zeros((jobs + 1, 2), np.int64)
            together([partial(walk, *state, above, done, level, job, jobs, looked[job]) for job in range(jobs)])
            active, level, step = self._active(above, level, step)
            if len(active):
                before = done
                done = pick(*state, active, *self._as_tiles(active), done, level, looked[-1])
                yield from repeat(None, done - before)
            self.looked += looked.sum(0)

    def _active(self, above: NDArray[np.int64], level: Any, step: float) -> tuple[NDArray[np.int64], Any, float]:
        """Return who is not below the level, at most ACTIVE, with the level this means and the next step down."""
        active = above[self.limits[above] >= level]
        if len(active) > ACTIVE // 2:
            step = max(step / 2, 1e-3)
        elif len(active) < ACTIVE // 8:
            step = min(step * 1.5, 0.5)
        if len(active) > ACTIVE:
            limits = self.limits[active]
            level = np.nextafter(np.partition(limits, -ACTIVE)[-ACTIVE], np.float32(np.inf))
            level = min(level, limits.max())  # so many are the farthest: the first of them are picked before the others
            active = active[limits >= level][:ACTIVE]
        return active, level, step

    def _as_tiles(self, active: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        """The active points' coordinates, (tiles, D, LANES), their limits, (tiles, LANES), and each tile's largest."""
        rows = as_tiles(self.points[active])
        far = np.full((len(rows), LANES), -1, np.float32)  # -1: nobody
        np.put(far, np.arange(len(active)), self.limits[active])
        return rows, far, far.max(1)


class CoresetStream:
    """A coreset of more points than fit in memory: `add` them as they come, then ask for the `bank`.

    If all points fit, the bank is that of `greedy_coreset`. Otherwise, whenever the memory is full, the points that
    came last are thinned to EXCESS times their share by greedy selection; the bank is selected from what was kept.
    `radius`, known afterwards, is a guarantee and no estimate: every point ever added lies within it of the bank (in
    the projected space), since the radii of the selections it went through add up. In practice the bank covers hardly
    worse than one selected from all points at once.

    Args:
        share: Share of all points that the bank holds, in (0, 1].
        size: Points that the bank holds, instead of a share; None for the share.
        limit: About how many points are held at most.
        projection: As in `greedy_coreset`.
        seed: Decides all that is random.

    Raises:
        InputError: (by `add`) the bank itself grows beyond half of the limit.
    """

    def __init__(
        self, share: float, size: int | None, *, limit: int, projection: int | None = 128, seed: int = 0
    ) -> None:
        self.share, self.size, self.limit, self.projection, self.seed = share, size, limit, projection, seed
        self.seen, self.radius = 0, 0.0
        self._passed = 0.0  # the radii of the selections so far
        self._fresh: list[Tensor] = []
        self._kept: list[Tensor] = []

    def add(self, points: Tensor) -> None:
        """Take in points; they are kept as given, so give a copy if they will change.

        Args:
            points: (n, D) float32.

        Raises:
            InputError: the bank itself grows beyond half of the limit.
        """
        self.seen += len(points)
        if _count(self._kept) + _count(self._fresh) + len(points) > self.limit:
            self._thin()
        self._fresh.append(points)

    def bank(self) -> Tensor:
        """Return the bank, (M, D)."""
        pieces = [*self._kept, *self._fresh]
        bank, radius = self._thinned(pieces, self._wanted(self.seen))
        self.radius = self._passed + radius
        return bank

    def _thin(self) -> None:
        """Make room: thin what is fresh; if the kept then fill half of the memory, thin those too."""
        if self._fresh:
            count = _count(self._fresh)
            fresh, radius = self._thinned(self._fresh, EXCESS * self._wanted(count))
            self._kept, self._fresh = [*self._kept, fresh], []
            self._passed = max(self._passed, radius)
        half = self.limit // 2
        if _count(self._kept) > half:
            if self._wanted(self.seen) > half:
                raise InputError(
                    f"the memory bank of {self.seen} patches is larger than half of the {self.limit} patches that may be "
                    "held at once. Give a fixed coreset_size, a smaller coreset_sampling_ratio, or more memory."
                )
            kept, radius = self._thinned(self._kept, min(half, EXCESS * self._wanted(self.seen)))
            self._kept = [kept]
            self._passed += radius

    def _wanted(self, of: int) -> int:
        return self.size or max(1, round(self.share * of))

    def _thinned(self, pieces: list[Tensor], count: int) -> tuple[Tensor, float]:
        found = greedy_coreset(pieces, min(count, _count(pieces)), projection=self.projection, seed=self.seed)
        return _gathered(pieces, found.picks), found.radius


def _count(pieces: Sequence[Tensor]) -> int:
    return sum(map(len, pieces))


def _gathered(pieces: Sequence[Tensor], picks: Tensor) -> Tensor:
    """Return the rows `picks` of the pieces' concatenation without making it."""
    starts = torch.tensor([0, *(len(piece) for piece in pieces)], device=picks.device).cumsum(0)
    owner = torch.searchsorted(starts, picks, right=True) - 1
    rows = pieces[0].new_empty(len(picks), pieces[0].shape[1])
    for at in sorted(set(owner.tolist())):
        mine = owner == at
        rows[mine] = pieces[at][picks[mine] - starts[at]]
    return rows
