"""Exact nearest neighbours in a bank of vectors, without ever holding the full matrix of distances."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.errors import InputError

_CELLS = 1 << 24  # distances held at once: 64 MiB of float32


def nearest(queries: Tensor, bank: Tensor, k: int = 1, *, bank_norms: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the squared Euclidean distances and indices, both (Q, k), of the k bank rows nearest to each query.

    `queries` is (Q, D), `bank` (M, D); nearest first. `bank_norms`, (M,) squared norms of the rows, saves their
    computation. Candidates are ranked by norms and a matrix product in blocks of bounded memory, so two rows whose
    squared distances differ by less than float32's rounding of the squared norms may change places. The distances of the
    winners are computed anew from their differences: they are accurate, and 0 for a row itself.

    Raises:
        InputError: k is not between 1 and M.
    """
    if not 1 <= k <= len(bank):
        raise InputError(f"{k} neighbours in a bank of {len(bank)}: ask for 1 to {len(bank)}")
    norms = bank.square().sum(1) if bank_norms is None else bank_norms
    rows = max(1, _CELLS // len(bank))
    found = [_rank(block, bank, norms, k) for block in torch.split(queries, rows)]
    indices = torch.cat(found) if found else torch.empty(0, k, dtype=torch.int64, device=bank.device)
    squared = torch.stack([(queries - bank[indices[:, j]]).square().sum(1) for j in range(k)], dim=1)
    squared, order = squared.sort(dim=1)
    return squared, indices.gather(1, order)


def _rank(queries: Tensor, bank: Tensor, norms: Tensor, k: int) -> Tensor:
    # A query's own norm is the same for all rows: it does not change who is nearest.
    relative = torch.addmm(norms, queries, bank.T, alpha=-2)
    return relative.argmin(1, keepdim=True) if k == 1 else relative.topk(k, dim=1, largest=False).indices
