"""One Gaussian a position: streaming moments, and the Mahalanobis distance through a Cholesky factor."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.errors import InputError

_CELLS = 1 << 24  # numbers held at once by a temporary: 64 MiB of float32


class Moments:
    """Mean and covariance of (P, D) vectors a sample, gathered in one pass.

    Memory is P x (D x D + D) floats whatever the number of samples. Batches are merged by the pairwise formula of Chan,
    Golub and LeVeque (1983), which does not cancel as a sum of squares does.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.empty(0)
        self.scatter = torch.empty(0)

    def update(self, samples: Tensor) -> None:
        """Take in (B, P, D) samples."""
        b, p, d = samples.shape
        samples = samples.transpose(0, 1)  # P, B, D
        if self.count == 0:
            self.mean = samples.new_zeros(p, d)
            self.scatter = samples.new_zeros(p, d, d)
        mean = samples.mean(1)
        shift = mean - self.mean
        weight = self.count * b / (self.count + b)
        for at in _chunks(p, d * d):
            inner = samples[at] - mean[at, None]
            self.scatter[at].baddbmm_(inner.transpose(1, 2), inner)
            self.scatter[at].baddbmm_(shift[at, :, None], shift[at, None], alpha=weight)
        self.count += b
        self.mean += shift * (b / self.count)

    def whitening(self, ridge: float) -> Tensor:
        """Return W, (P, D, D) lower triangular, with W covariance Wᵀ = 1; the scatter is used up in place.

        The covariance is scatter / (count - 1) + ridge x identity; |W (x - mean)| is the Mahalanobis distance.

        Raises:
            InputError: fewer than two samples were seen.
        """
        if self.count < 2:
            raise InputError(f"a covariance needs at least 2 images, there is {self.count}. Add good images.")
        p, d = self.mean.shape
        identity = torch.eye(d, dtype=self.mean.dtype, device=self.mean.device)
        for at in _chunks(p, d * d):
            covariance = self.scatter[at] / (self.count - 1) + ridge * identity
            try:
                factor = torch.linalg.cholesky(covariance)
            except RuntimeError as error:
                raise InputError(
                    f"a covariance is not positive definite with ridge {ridge}; raise the ridge."
                ) from error
            self.scatter[at] = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
        white, self.scatter = self.scatter, torch.empty(0)
        return white


def mahalanobis(samples: Tensor, mean: Tensor, whitening: Tensor) -> Tensor:
    """Return the distances (B, P) of (B, P, D) samples to (P, D) means under (P, D, D) whitening matrices."""
    centred = (samples - mean).permute(1, 2, 0)  # P, D, B
    distances: Tensor = torch.linalg.vector_norm(torch.bmm(whitening, centred), dim=1)
    return distances.T


def _chunks(count: int, cells: int) -> list[slice]:
    step = max(1, _CELLS // cells)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
