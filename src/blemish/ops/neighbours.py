"""Exact nearest neighbours in a bank of vectors, without ever holding the full matrix of distances.

Two ways to the same answer. The plain one ranks all rows by norms and a matrix product; it suits GPUs and small work. Of

    |q - b|^2  =  |q - c|^2 + |b - c|^2 - 2 (q - c) b + 2 (q - c) c

the first and the last term are the same for all rows b and are left out. Any centre c will do; with the bank's own, float32
loses no more where all vectors lie far from the origin than the vectors themselves did when they were rounded. For a large
bank on the CPU, a `Search` makes most of that unnecessary: a bank is rotated to its principal axes, of which the
first hold most of every distance. What is left beyond them is known by its length alone, and since two vectors are at
least as far apart as their lengths differ (the triangle inequality),

    |q - b|^2  >=  |q_lead - b_lead|^2 + (|q_rest| - |b_rest|)^2.

That bound is the squared distance of two short vectors, whatever the number of dimensions was. Rows whose bound is not
below the best distance found so far cannot be nearer; the few others are measured in full. Where the processor has means to
multiply bytes, 64 numbers rounded to bytes are compared (`blemish.ops.byte_tiles`), elsewhere 33 floats
(`blemish.ops.tiles`).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from blemish.core.errors import InputError
from blemish.ops import byte_tiles
from blemish.ops.threads import together
from blemish.ops.tiles import BLOCK, LANES, as_tiles, bounds_of, loops, principal_axes

_CELLS = 1 << 24  # distances held at once: 64 MiB of float32
LEADING = byte_tiles.DEPTH - 1  # principal axes in a bound
FLOATS = 32  # so many of them where floats are compared
PART = 4096  # rows of a bank ranked at once in an exported graph
WORTH = 1 << 30  # multiplications above which the loops pay for being loaded


class Leads(NamedTuple):
    """Where a bank lies. Two tensors, so that a detector can keep them among its buffers."""

    centre: Tensor  # (D,)
    axes: Tensor  # (D, L) orthonormal, the axes that hold most come first


class Norms(NamedTuple):
    """What `nearest` ranks a bank's rows by, beside their products with a query."""

    centre: Tensor  # (D,)
    squared: Tensor  # (M,) squared distances of the rows to it


def norms_of(bank: Tensor, centre: Tensor | None = None) -> Norms:
    """Measure the rows of a bank from a centre.

    Args:
        bank: (M, D).
        centre: (D,), by default their mean.

    Returns:
        Centre and squared norms.
    """
    centre = bank.mean(0) if centre is None else centre
    return Norms(centre, (bank - centre).square().sum(1))


def leads(bank: Tensor) -> Leads:
    """Find the axes along which the finite rows of a bank lie.

    Args:
        bank: (M, D).

    Returns:
        Centre and leading axes.
    """
    rows = bank.detach().float().cpu()
    return Leads(rows.mean(0), principal_axes(rows)[:, :LEADING].contiguous())


class Search:
    """A bank of finite rows, made ready on the CPU to be searched; it is faster if the rows are `ordered`.

    Args:
        bank: (M, D) float32.
        leads: Centre and leading axes of the bank, see `leads`.
        by: How bounds are computed: "floats" or one of `byte_tiles.means()`; None for the fastest.
    """

    def __init__(self, bank: Tensor, leads: Leads, *, by: str | None = None) -> None:
        self.bank = bank.contiguous()
        self.bytes: byte_tiles.ByteTiles | None = None
        way = by or next(iter(byte_tiles.means()), "floats")
        if way != "floats":
            self.bytes = byte_tiles.ByteTiles(self.bank, *leads, way)
        else:
            self.leads = Leads(leads.centre, leads.axes[:, :FLOATS].contiguous())
            self.tiles = as_tiles(bounds_of(self.bank, *self.leads).numpy())

    def __call__(self, queries: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
        """Return squared distances and indices, both (Q, k), of the rows nearest to each query (Q, D), nearest first.

        A query that holds anything but finite numbers gets any rows.
        """
        if self.bytes is not None:
            return self.bytes.nearest(queries, k)[:2]
        bounds = bounds_of(queries, *self.leads)
        bounds = torch.nn.functional.pad(bounds, (0, self.tiles.shape[1] - bounds.shape[1])).contiguous()
        best, who = torch.full((len(queries), k), torch.inf), torch.full((len(queries), k), -1, dtype=torch.int64)
        jobs = max(1, min(torch.get_num_threads(), len(queries) // BLOCK))
        looked = np.zeros((jobs, 2), np.int64)
        found = best.numpy(), who.numpy()
        arrays = queries.contiguous().numpy(), bounds.numpy(), self.bank.numpy(), self.tiles, *found
        search = loops().search
        together([partial(search, *arrays, job, jobs, looked[job]) for job in range(jobs)])
        return best, who


def ordered(bank: Tensor) -> Tensor:
    """Return an order of a bank's rows in which neighbours stand together, so that whole tiles can be skipped.

    The rows are halved at the median of the coordinate that varies most, and the halves again, down to tiles.

    Args:
        bank: (M, D).

    Returns:
        (M,) indices.
    """
    rows = bank.detach().float().cpu()
    found, waiting = [], [torch.arange(len(rows))]
    while waiting:
        part = waiting.pop()
        if len(part) <= LANES:
            found.append(part)
            continue
        values = rows[part]
        part = part[values[:, int(values.var(0).argmax())].argsort()]
        tiles = -(-len(part) // LANES)
        half = (tiles // 2) * LANES
        waiting += [part[half:], part[:half]]
    return torch.cat(found)


def nearest(
    queries: Tensor, bank: Tensor, k: int = 1, *, norms: Norms | None = None, search: Search | None = None
) -> tuple[Tensor, Tensor]:
    """Return squared Euclidean distances and indices of the k bank rows nearest to each query, nearest first.

    Of two rows whose squared distances differ by less than float32's rounding either may be named. The distances of the
    winners are computed from their differences: they are accurate, and 0 for a row itself.

    Args:
        queries: (Q, D).
        bank: (M, D).
        k: 1 to M.
        norms: Norms of the bank, which save their computation.
        search: A `Search` made of the same bank; it speeds up large searches on the CPU.

    Returns:
        Distances and indices, (Q, k) each.

    Raises:
        InputError: k is not between 1 and M.
    """
    if not 1 <= k <= len(bank):
        raise InputError(f"{k} neighbours in a bank of {len(bank)}: ask for 1 to {len(bank)}")
    if search is not None and worth_searching(queries, bank) and bool(queries.sum().isfinite()):
        return search(queries.float(), k)
    centre, lengths = norms or norms_of(bank)
    rank = _by_parts if torch.compiler.is_exporting() else _ranked
    # A query's own norm and its product with the centre are the same for all rows: they do not change who is nearest.
    indices = rank(queries - centre, bank, k, lengths)
    squared = torch.stack([(queries - bank[indices[:, j]]).square().sum(1) for j in range(k)], dim=1)
    squared, order = squared.sort(dim=1)
    return squared, indices.gather(1, order)


def worth_searching(queries: Tensor, bank: Tensor) -> bool:
    """Return whether a `Search` pays: on the CPU, for much work, but not in a graph that is exported.

    Args:
        queries: (Q, D).
        bank: (M, D).

    Returns:
        True for much work on the CPU.
    """
    if torch.compiler.is_exporting() or queries.device.type != "cpu":
        return False
    return len(queries) * bank.numel() >= WORTH


def _by_parts(queries: Tensor, bank: Tensor, k: int, norms: Tensor) -> Tensor:
    """Rank the bank part by part, whatever the number of queries: a graph of fixed length, for export."""
    values, indices, first = [], [], 0
    for rows, squared in zip(torch.split(bank, PART), torch.split(norms, PART), strict=True):
        relative = squared - 2 * (queries @ rows.T)
        best = relative.topk(min(k, len(rows)), dim=1, largest=False)
        values.append(best.values)
        indices.append(best.indices + first)
        first += len(rows)
    if len(values) == 1:
        return indices[0]
    winners = torch.cat(values, 1).topk(k, dim=1, largest=False).indices
    return torch.cat(indices, 1).gather(1, winners)


def _ranked(queries: Tensor, bank: Tensor, k: int, norms: Tensor) -> Tensor:
    found = []
    for block in torch.split(queries, max(1, _CELLS // len(bank))):
        relative = torch.addmm(norms, block, bank.T, alpha=-2)
        best = relative.argmin(1, keepdim=True) if k == 1 else relative.topk(k, dim=1, largest=False).indices
        found.append(best)
    return torch.cat(found) if found else torch.empty(0, k, dtype=torch.int64, device=bank.device)
