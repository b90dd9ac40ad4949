"""One Gaussian a position over features of several grids: streaming moments, and the Mahalanobis distance.

The features of a position are its own and, from coarser grids, those of the cells that it lies in. What the positions of a
coarse cell share is the same for all of them: its mean, its part of the covariance and, if the coarse features come first,
its part of the Cholesky factor and of the factor's inverse, since the leading rows of both depend on the leading features
only. So a level (one grid) keeps the rows of its own features, against all features up to and including them, once for
each of its own cells. For 550 channels of a WideResNet-50's three layers at 224 px that is 0.85 GB where a full matrix a
position would be 3.8 GB, nothing being left out; distances take as many times fewer multiplications.

Levels are ordered from the coarsest grid to the finest, each (B, C, h, w); sides of a grid are multiples of those of the
one before. "Joint" features of a level are the coarser ones and its own: D is their number, C that of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from blemish.core.errors import InputError

_CELLS = 1 << 24  # numbers held at once by a temporary: 64 MiB of float32
_ABOVE_RIDGE = 1e5  # of variances, with fewer samples than features: float32 then errs by 1 % in a few hundred channels
Grid = tuple[int, int]


class Moments:
    """Mean and covariance of features in several grids, gathered in one pass.

    Memory is that of the result, whatever the number of samples. Batches are merged by the pairwise formula of Chan, Golub
    and LeVeque (1983), which does not cancel as a sum of squares does.
    """

    def __init__(self) -> None:
        self.count = 0
        self.grids: list[Grid] = []
        self.mean: list[Tensor] = []  # (P, C) a level
        self.scatter: list[Tensor] = []  # (P, C, D) a level

    def update(self, levels: Sequence[Tensor]) -> None:
        """Take in samples.

        Args:
            levels: (B, C, h, w) a level.

        Raises:
            InputError: their grids are not those of the samples before.
        """
        if self.count == 0:
            self._begin(levels)
        grids = [(level.shape[2], level.shape[3]) for level in levels]
        if grids != self.grids:
            raise InputError(
                f"features in grids of {grids} after such of {self.grids}; all images must be of one size."
            )
        b = len(levels[0])
        weight = self.count * b / (self.count + b)
        means = [level.mean(0).flatten(1).T for level in levels]  # P, C
        centred = [
            level.flatten(2).permute(2, 1, 0) - mean[..., None] for level, mean in zip(levels, means, strict=True)
        ]
        shift = [(mean - old)[..., None] for mean, old in zip(means, self.mean, strict=True)]  # P, C, 1
        for scatter, own, all_, moved, all_moved in zip(
            self.scatter, centred, _joint(centred, self.grids), shift, _joint(shift, self.grids), strict=True
        ):
            for at in _chunks(len(scatter), scatter[0].numel()):
                scatter[at].baddbmm_(own[at], all_[at].transpose(1, 2))
                scatter[at].baddbmm_(moved[at], all_moved[at].transpose(1, 2), alpha=weight)
        self.count += b
        for old, moved in zip(self.mean, shift, strict=True):
            old.add_(moved[..., 0], alpha=b / self.count)

    def whitening(self, ridge: float) -> list[Tensor]:
        """Return the rows that each level's features add to the inverse of the Cholesky factor.

        The covariance is scatter / (count - 1) + ridge x identity; |W (x - mean)| is the Mahalanobis distance, see
        `mahalanobis`. The scatter is used up in place. Warns if the ridge is too far below the variances for float32.

        Args:
            ridge: Added to the diagonal, at least 0.

        Returns:
            W, (P, C, D) a level.

        Raises:
            InputError: fewer than two samples were seen, or some that are not finite, or the ridge is too small.
        """
        if self.count < 2:
            raise InputError(f"a covariance needs at least 2 images, there is {self.count}. Add good images.")
        if not all(bool(mean.isfinite().all()) for mean in self.mean):
            raise InputError("the network's features are not finite numbers; check the weights and the images.")
        self._doubt(ridge)
        white: list[Tensor] = []
        for level, rows in enumerate(self.scatter):
            rows.div_(self.count - 1)
            rows[:, :, -rows.shape[1] :].diagonal(dim1=1, dim2=2).add_(ridge)
            families = _families(self.grids, level)  # the cells that share a parent
            d = rows.shape[2]
            for at in _chunks(len(families), d * d):
                parents = torch.arange(at.start, at.stop)
                try:
                    _whiten(rows, families[at], _factor(white, self.grids, level - 1, parents))
                except RuntimeError as error:
                    raise InputError(
                        f"a covariance is not positive definite with ridge {ridge}; raise the ridge."
                    ) from error
            white.append(rows)
        self.scatter = []
        return white

    def _doubt(self, ridge: float) -> None:
        """Where samples leave directions without variance, the ridge alone is their scale, and it must survive rounding."""
        own = [rows[:, :, -rows.shape[1] :].diagonal(dim1=1, dim2=2) for rows in self.scatter]  # (P, C) a level
        variance = float(torch.cat([scatter.mean(0) for scatter in own]).mean()) / (self.count - 1)
        if self.count <= self.scatter[-1].shape[2] and variance > _ABOVE_RIDGE * ridge:
            warnings.warn(
                f"the features' variance, {variance:.3g}, is so far above the ridge, {ridge:.3g}, that rounding may change "
                f"distances by 1 % or more. Set a ridge of {1.05 * variance / _ABOVE_RIDGE:.2g} or more, or learn from "
                f"more than {self.scatter[-1].shape[2]} images.",
                stacklevel=3,
            )

    def _begin(self, levels: Sequence[Tensor]) -> None:
        self.grids = [(level.shape[2], level.shape[3]) for level in levels]
        joint = 0
        for level, (h, w) in zip(levels, self.grids, strict=True):
            c = level.shape[1]
            joint += c
            self.mean.append(level.new_zeros(h * w, c))
            self.scatter.append(level.new_zeros(h * w, c, joint))


def mahalanobis(levels: Sequence[Tensor], mean: Sequence[Tensor], whitening: Sequence[Tensor]) -> Tensor:
    """Return the Mahalanobis distances on the finest grid.

    Args:
        levels: (B, C, h, w) features a level.
        mean: (P, C) a level, P the positions of its grid.
        whitening: (P, C, D) a level, see `Moments.whitening`.

    Returns:
        (B, h, w).
    """
    grids = [(level.shape[2], level.shape[3]) for level in levels]
    centred = [
        level.flatten(2).permute(2, 1, 0) - middle[..., None] for level, middle in zip(levels, mean, strict=True)
    ]  # P, C, B
    squared = centred[0].new_zeros(centred[0].shape[0], levels[0].shape[0])
    for i, (white, joint) in enumerate(zip(whitening, _joint(centred, grids), strict=True)):
        squared = _lifted(squared, grids[i - 1], grids[i]) if i else squared
        squared = squared + torch.bmm(white, joint).square().sum(1)
    distances: Tensor = squared.sqrt().T.reshape(-1, *grids[-1])
    return distances


def _joint(values: Sequence[Tensor], grids: Sequence[Grid]) -> Iterator[Tensor]:
    """Yield each level's joint features, (P, D, ...), from every level's own, (P, C, ...)."""
    joint = values[0]
    yield joint
    for i in range(1, len(values)):
        joint = torch.cat([_lifted(joint, grids[i - 1], grids[i]), values[i]], 1)
        yield joint


def _lifted(values: Tensor, coarse: Grid, fine: Grid) -> Tensor:
    """Return (P', ...): each fine cell gets what the coarse cell has that it lies in."""
    if coarse == fine:
        return values
    return values[_parents(coarse, fine)]


def _parents(coarse: Grid, fine: Grid) -> Tensor:
    """Return the coarse cell in which each fine cell lies, (P',)."""
    rows, columns = (torch.arange(f) // (f // c) for c, f in zip(coarse, fine, strict=True))
    return (rows[:, None] * coarse[1] + columns).flatten()


def _families(grids: Sequence[Grid], level: int) -> Tensor:
    """Return the cells of a level by their parents on the level before, (parents, cells a parent)."""
    h, w = grids[level]
    if level == 0:
        return torch.arange(h * w)[:, None]
    coarse = grids[level - 1]
    return _parents(coarse, grids[level]).argsort(stable=True).view(coarse[0] * coarse[1], -1)


def _factor(white: Sequence[Tensor], grids: Sequence[Grid], level: int, cells: Tensor) -> Tensor:
    """Return the whole inverse factors (n, D, D) of some cells of a level; (n, 0, 0) before the first level."""
    if level < 0:
        return torch.empty(len(cells), 0, 0)
    d = white[level].shape[2]
    whole = white[level].new_zeros(len(cells), d, d)
    while level >= 0:
        rows = white[level][cells]
        d = rows.shape[2]
        whole[:, d - rows.shape[1] : d, :d] = rows
        if level:
            cells = _parents(grids[level - 1], grids[level])[cells]
        level -= 1
    return whole


def _whiten(rows: Tensor, families: Tensor, deeper: Tensor) -> None:
    """Turn the covariance rows (P, C, D) of these cells into rows of the inverse factor, in place.

    With S = [[A, Bᵀ], [B, E]] and V = L_A⁻¹ known, the new rows of L are [B Vᵀ, M], M Mᵀ = E - (B Vᵀ)(B Vᵀ)ᵀ, and those of
    L⁻¹ are [-M⁻¹ (B Vᵀ) V, M⁻¹].
    """
    n, each = families.shape
    cells, (c, d) = families.flatten(), rows.shape[1:]
    mine = rows[cells]  # n * each, C, D
    own = mine[:, :, d - c :]
    identity = torch.eye(c, dtype=rows.dtype, device=rows.device)
    if d == c:
        lower = torch.linalg.cholesky(own)
        rows[cells] = torch.linalg.solve_triangular(lower, identity.expand_as(lower), upper=False)
        return
    across = mine[:, :, : d - c].reshape(n, each * c, d - c)
    projected = torch.bmm(across, deeper.transpose(1, 2)).view(n * each, c, d - c)
    lower = torch.linalg.cholesky(own - projected @ projected.transpose(1, 2))
    inverse = torch.linalg.solve_triangular(lower, identity.expand_as(lower), upper=False)
    back = torch.bmm(projected.view(n, each * c, d - c), deeper).view(n * each, c, d - c)
    rows[cells] = torch.cat([-inverse @ back, inverse], 2)


def _chunks(count: int, cells: int) -> list[slice]:
    step = max(1, _CELLS // cells)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
