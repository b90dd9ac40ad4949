"""Squared distances of one point to a tile of 64 others, given up as soon as nearly all are known to be too far.

Selection and search ask the same question again and again: which of many points lie within a limit of this one? Points
that are compared together lie side by side in a tile (D, LANES), one point a lane, so that processors with wide registers
sum many lanes at once. After every STEP dimensions, where no more than FEW lanes are still within their limits, the caller
finishes those few one by one. It pays if the first dimensions hold most of the distance: rotate to principal axes first.

`loops()` compiles them with numba and keeps the result on disk. They are plain loops without views of arrays: views take
long to compile, and every call to count their references. All stand in this one file, since numba looks only at a loop's
own file to see whether what it kept is still true. Sums may be taken in other orders than elsewhere (fastmath `reassoc` and
`contract`, nothing else).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LANES = 64  # points in a tile
STEP = 16  # dimensions summed between two looks at who is beyond the limit already; a multiple of 8
FEW = 12  # so many of a tile's lanes are finished one by one
BLOCK = 32  # points that share a tile while it is in the cache


def as_tiles(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows as tiles; values beyond N and D are 0.

    Args:
        rows: (N, D) float32.

    Returns:
        (ceil(N / LANES), D to a multiple of 8, LANES).
    """
    count, dims = rows.shape
    tiles = -(-count // LANES)
    padded = np.zeros((tiles * LANES, -(-dims // 8) * 8), np.float32)
    padded[:count, :dims] = rows
    return np.ascontiguousarray(padded.reshape(tiles, LANES, -1).transpose(0, 2, 1))


def principal_axes(points: Tensor) -> Tensor:
    """Return the principal axes of (N, D) finite points as columns (D, D), largest variance first; from 4096 of them.

    Args:
        points: (N, D), finite; 4096 of them are used.

    Returns:
        (D, D), axes as columns, largest variance first.
    """
    sample = points[:: -(-len(points) // 4096)]
    sample = (sample - sample.mean(0)).double()
    vectors = torch.linalg.eigh(sample.T @ sample).eigenvectors
    axes: Tensor = vectors.flip(1).float()
    return axes


def bounds_of(rows: Tensor, centre: Tensor, axes: Tensor) -> Tensor:
    """Return coordinates on the leading axes, and the length of what is left: their distances are lower bounds.

    Args:
        rows: (N, D).
        centre: (D,).
        axes: (D, L).

    Returns:
        (N, L + 1).
    """
    centred = rows - centre
    lead = centred @ axes
    left = torch.linalg.vector_norm(torch.addmm(centred, lead, axes.T, alpha=-1), dim=1, keepdim=True)
    return torch.cat([lead, left], 1)


class Loops(NamedTuple):
    """The compiled loops; they hold no Python lock, so threads run them side by side."""

    walk: Callable[..., None]
    pick: Callable[..., int]
    search: Callable[..., None]


@cache
def loops() -> Loops:
    """Return the loops, compiled on their first call or read from disk."""
    import numba
    from numba.extending import register_jitable

    options: dict[str, Any] = {"fastmath": {"reassoc", "contract"}}
    for part in (add, sift, rest, insert, guess):
        register_jitable(**options)(part)
    options |= {"nogil": True}

    def compiled(loop: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(loop)
        except RuntimeError:  # no folder can be written: each process compiles anew
            return numba.njit(**options)(loop)

    return Loops(compiled(walk), compiled(pick), compiled(search))


def add(tiles: Any, t: int, points: Any, p: int, k: int, sums: Any) -> None:
    """Add to `sums` the squared differences of a point and a tile in the eight dimensions from k on.

    Args:
        tiles: (T, D, LANES) float32.
        t: The tile.
        points: (N, D) float32.
        p: The point.
        k: The first dimension.
        sums: (LANES,) float32, changed in place.
    """
    a, b, c, d = points[p, k], points[p, k + 1], points[p, k + 2], points[p, k + 3]
    e, f, g, h = points[p, k + 4], points[p, k + 5], points[p, k + 6], points[p, k + 7]
    for i in range(LANES):
        sums[i] += (
            (tiles[t, k, i] - a) ** 2
            + (tiles[t, k + 1, i] - b) ** 2
            + (tiles[t, k + 2, i] - c) ** 2
            + (tiles[t, k + 3, i] - d) ** 2
            + (tiles[t, k + 4, i] - e) ** 2
            + (tiles[t, k + 5, i] - f) ** 2
            + (tiles[t, k + 6, i] - g) ** 2
            + (tiles[t, k + 7, i] - h) ** 2
        )


def sift(tiles: Any, t: int, points: Any, p: int, limits: Any, row: int, sums: Any, left: Any) -> tuple[int, int]:
    """Sum squared differences of a point to a tile until at most FEW lanes are below a limit.

    Args:
        tiles: (T, D, LANES) float32.
        t: The tile.
        points: (N, D) float32.
        p: The point.
        limits: Squared distances, one a row.
        row: The limit's row.
        sums: (LANES,) float32, overwritten: the sums so far.
        left: (LANES + 1,) int64, overwritten: the lanes that are left.

    Returns:
        How many lanes are left, and how many dimensions were summed.
    """
    k = 0
    for i in range(LANES):
        sums[i] = 0
    while True:
        for _ in range(min(STEP, points.shape[1] - k) // 8):
            add(tiles, t, points, p, k, sums)
            k += 8
        n = 0  # counting alone is vectorised, gathering is not
        for i in range(LANES):
            n += 1 if sums[i] < limits[row, i] else 0
        if n <= FEW or k == points.shape[1]:
            if n > 0:
                n = 0
                for i in range(LANES):
                    left[n] = i
                    n += sums[i] < limits[row, i]
            return n, k


def rest(points: Any, p: int, others: Any, q: int, begin: int) -> Any:
    """Sum squared differences of two points from a dimension on.

    Args:
        points: (N, D) float32.
        p: The first point.
        others: (M, D) float32.
        q: The second point, of `others`.
        begin: The first dimension.

    Returns:
        The sum.
    """
    total = np.float32(0)
    for k in range(np.uint64(begin), np.uint64(points.shape[1])):  # signed, the loop would not be vectorised
        total += (points[p, k] - others[q, k]) ** 2
    return total


def walk(
    points: Any, tiles: Any, picks: Any, limits: Any, met: Any,
    above: Any, done: int, level: Any, job: int, jobs: int, looked: Any,
) -> None:  # fmt: skip
    """Compare every jobs-th block of points with the picks they have not met, until each is below the level.

    Args:
        points: (N, D) float32.
        tiles: The picks as tiles.
        picks: (K,) indices of the picked points.
        limits: (N,) upper bounds of the squared distance to the nearest pick, lowered in place.
        met: (N, K / (8 LANES)) bits, one a whole tile of picks that a point has met, set in place.
        above: Indices of the points whose limit is not below the level.
        done: How many picks there are.
        level: Squared distance below which a point need not go on.
        job: This job's number.
        jobs: How many jobs there are.
        looked: (2,) distances begun and finished, added to in place.
    """
    sums, same, left = np.empty(LANES, np.float32), np.empty((1, LANES), np.float32), np.empty(LANES + 1, np.int64)
    begun = finished = 0
    for begin in range(job * BLOCK, len(above), jobs * BLOCK):
        for t in range((done - 1) // LANES, -1, -1):
            base, lanes = t * LANES, min(LANES, done - t * LANES)
            byte, bit = t >> 3, 1 << (t & 7)
            for index in range(begin, min(begin + BLOCK, len(above))):
                p = above[index]
                limit = limits[p]
                if limit < level or met[p, byte] & bit:
                    continue
                for i in range(LANES):
                    same[0, i] = limit
                n, k = sift(tiles, t, points, p, same, 0, sums, left)
                for j in range(n):
                    lane = left[j]
                    if lane < lanes and sums[lane] < limit:
                        limit = min(limit, sums[lane] + rest(points, p, points, picks[base + lane], k))
                limits[p] = limit
                if lanes == LANES:
                    met[p, byte] |= bit
                begun += lanes
                finished += n
    looked[0] += begun
    looked[1] += finished


def pick(
    points: Any, tiles: Any, picks: Any, limits: Any, met: Any,
    active: Any, rows: Any, far: Any, farthest: Any, done: int, level: Any, looked: Any,
) -> int:  # fmt: skip
    """Pick the farthest of the active points, which have met all picks, until all are below the level.

    Args:
        points: (N, D) float32.
        tiles: The picks as tiles, extended in place.
        picks: (K,) indices of the picked points, extended in place.
        limits: (N,) squared distance of each point to the nearest pick, lowered in place.
        met: (N, K / (8 LANES)) bits, one a whole tile of picks that a point has met, set in place.
        active: Indices of the active points.
        rows: The active points as tiles, (T, D, LANES).
        far: (T, LANES) squared distances of the active points to the nearest pick, lowered in place.
        farthest: (T,) the largest of `far` in each tile, changed in place.
        done: How many picks there are.
        level: Squared distance below which no point is picked.
        looked: (2,) distances begun and finished, added to in place.

    Returns:
        How many picks there are now.
    """
    first, count, dims = done // LANES, len(rows), points.shape[1]
    sums, left = np.empty(LANES, np.float32), np.empty(LANES + 1, np.int64)
    met_by_tile = np.zeros(count, np.int64)
    while done < len(picks):
        where = lane = 0
        for t in range(1, count):
            if farthest[t] > farthest[where]:
                where = t
        if farthest[where] < level:
            break
        while far[where, lane] < farthest[where]:
            lane += 1
        chosen = active[where * LANES + lane]
        far[where, lane] = -1  # rounding, or a twin, must not bring it back
        picks[done] = chosen
        for k in range(dims):
            tiles[done // LANES, k, done % LANES] = points[chosen, k]
        done += 1
        for t in range(count):
            if farthest[t] < level:
                continue
            n, k = sift(rows, t, points, chosen, far, t, sums, left)
            for j in range(n):
                i = left[j]
                far[t, i] = min(far[t, i], sums[i] + rest(points, active[t * LANES + i], points, chosen, k))
            farthest[t], met_by_tile[t] = -1, done
            for i in range(LANES):
                farthest[t] = max(farthest[t], far[t, i])
            looked[0] += LANES
            looked[1] += n
    for index in range(len(active)):
        limits[active[index]] = far[index // LANES, index % LANES]
        for t in range(first, met_by_tile[index // LANES] // LANES):
            met[active[index], t >> 3] |= 1 << (t & 7)
    return done


def search(
    queries: Any, leads: Any, bank: Any, tiles: Any, best: Any, who: Any, job: int, jobs: int, looked: Any
) -> None:
    """Find the k rows of a bank nearest to one job's share of the queries, nearest first.

    The squared distances of `leads` and the lanes of `tiles` are lower bounds of those of `queries` and `bank`.

    Args:
        queries: (Q, D) float32.
        leads: (Q, L) float32.
        bank: (M, D) float32.
        tiles: (T, L, LANES) float32.
        best: (Q, k) squared distances, changed in place.
        who: (Q, k) rows of the bank, changed in place.
        job: This job's number.
        jobs: How many jobs there are.
        looked: (2,) bounds begun and distances finished, added to in place.
    """
    k, count, dims = best.shape[1], len(bank), leads.shape[1]
    slack = np.float32(1.0001)  # rounding must not lose anyone
    zero, one = np.float32(0), np.float32(1)
    sums = np.empty(LANES, np.float32)
    first, last = job * len(queries) // jobs, (job + 1) * len(queries) // jobs
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        for p in range(begin, end):
            guess(queries, bank, best, who, p, p - BLOCK if begin > first else -1, p - 1 if p > begin else -1)
        for t in range(len(tiles)):
            for p in range(begin, end):
                limit = best[p, k - 1] * slack
                for i in range(LANES):
                    sums[i] = 0
                n = zero
                for d in range(0, dims, 8):
                    add(tiles, t, leads, p, d, sums)
                    n = zero  # a float32, sixteen of which are counted at a time
                    for i in range(LANES):
                        n += one if sums[i] < limit else zero
                    if n <= 1:
                        break
                if n == 0:
                    continue
                for i in range(LANES):
                    row = t * LANES + i
                    if sums[i] < best[p, k - 1] * slack and row < count:
                        insert(best, who, p, rest(queries, p, bank, row, 0), row)
                        looked[1] += 1
            looked[0] += LANES * (end - begin)


def guess(queries: Any, bank: Any, best: Any, who: Any, p: int, above: int, before: int) -> None:
    """Begin with what is nearest to two adjacent patches: mostly it is not far from this one either.

    Args:
        queries: (Q, D) float32.
        bank: (M, D) float32.
        best: (Q, k) squared distances, changed in place.
        who: (Q, k) rows of the bank, changed in place.
        p: The query.
        above: The query of the patch above, -1 for none.
        before: The query of the patch before, -1 for none.
    """
    for j in range(best.shape[1]):
        row = who[above, j] if above >= 0 else j
        insert(best, who, p, rest(queries, p, bank, row, 0), row)
        if before >= 0:
            row = who[before, j]
            insert(best, who, p, rest(queries, p, bank, row, 0), row)


def insert(best: Any, who: Any, p: int, squared: Any, row: int) -> None:
    """Put a row among the best of a query, if it is nearer than the last of them and not there yet.

    Args:
        best: (Q, k) squared distances, changed in place.
        who: (Q, k) rows of the bank, changed in place.
        p: The query.
        squared: Squared distance of the row.
        row: The row of the bank.
    """
    k = best.shape[1]
    if not squared < best[p, k - 1]:
        return
    for j in range(k):
        if who[p, j] == row:
            return
    j = k - 1
    while j > 0 and best[p, j - 1] > squared:
        best[p, j], who[p, j] = best[p, j - 1], who[p, j - 1]
        j -= 1
    best[p, j], who[p, j] = squared, row
