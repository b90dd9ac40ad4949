"""Streaming moments and Mahalanobis distances against numpy, position by position."""

import numpy as np
import pytest
import torch

from blemish.core.errors import InputError
from blemish.ops import gaussian
from blemish.ops.gaussian import Moments, mahalanobis

SHAPES = {
    "one grid": [(5, 2, 3)],
    "the same grid twice": [(4, 2, 2), (3, 2, 2)],
    "three grids": [(4, 1, 2), (3, 2, 4), (2, 4, 8)],
    "unequal factors": [(3, 1, 2), (4, 3, 2), (1, 3, 6)],
}


def draw(shapes: list[tuple[int, int, int]], count: int, seed: int, offset: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, *shape, generator=generator) + offset for shape in shapes]


def joined(levels: list[torch.Tensor]) -> np.ndarray:
    """(B, h, w, D): the plain definition, every level repeated onto the finest grid."""
    h, w = levels[-1].shape[2:]
    repeated = [x.repeat_interleave(h // x.shape[2], 2).repeat_interleave(w // x.shape[3], 3) for x in levels]
    return torch.cat(repeated, 1).permute(0, 2, 3, 1).double().numpy()


def gather(levels: list[torch.Tensor], sizes: tuple[int, ...]) -> Moments:
    moments = Moments()
    for batch in zip(*(level.split(sizes) for level in levels), strict=True):
        moments.update(batch)
    return moments


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("cells", [30, 1 << 24])  # many chunks, one chunk
def test_one_pass_equals_numpy(name: str, offset: float, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian, "_CELLS", cells)
    levels, queries = draw(SHAPES[name], 23, 0, offset), draw(SHAPES[name], 3, 1, offset)
    moments = gather(levels, (4, 1, 10, 8))
    white = moments.whitening(0.01)
    found = mahalanobis(queries, moments.mean, white).numpy()
    train, test = joined(levels), joined(queries)
    for y, x in np.ndindex(train.shape[1:3]):
        mean = train[:, y, x].mean(0)
        covariance = np.atleast_2d(np.cov(train[:, y, x], rowvar=False))
        inverse = np.linalg.inv(covariance + 0.01 * np.eye(len(mean)))
        for b in range(3):
            gap = test[b, y, x] - mean
            assert found[b, y, x] == pytest.approx(np.sqrt(gap @ inverse @ gap), rel=2e-3)
    assert sum(w.numel() for w in white) <= train[0].size * train.shape[3]


def test_rows_are_those_of_the_inverse_cholesky_factor() -> None:
    levels = draw(SHAPES["three grids"], 30, 0, 0.0)
    moments = gather(levels, (30,))
    white = moments.whitening(0.1)
    train = joined(levels)
    for y, x in np.ndindex(4, 8):
        covariance = np.cov(train[:, y, x], rowvar=False) + 0.1 * np.eye(9)
        expected = np.linalg.inv(np.linalg.cholesky(covariance))
        rows = [white[0][x // 4], white[1][(y // 2) * 4 + x // 2], white[2][y * 8 + x]]
        for begin, row in zip((0, 4, 7), rows, strict=True):
            c, d = row.shape
            np.testing.assert_allclose(row.numpy(), expected[begin : begin + c, :d], rtol=1e-3, atol=1e-4)


def test_coarse_parts_are_kept_once() -> None:
    white = gather(draw(SHAPES["three grids"], 5, 0, 0.0), (5,)).whitening(0.1)
    assert [tuple(w.shape) for w in white] == [(2, 4, 4), (8, 3, 7), (32, 2, 9)]


def test_fewer_samples_than_dimensions_is_what_the_ridge_is_for() -> None:
    shapes = [(40, 1, 1), (50, 2, 1)]
    moments = gather(draw(shapes, 3, 0, 0.0), (3,))
    found = mahalanobis(draw(shapes, 4, 1, 0.0), moments.mean, moments.whitening(0.01))
    assert found.shape == (4, 2, 1)
    assert found.isfinite().all()


def test_one_sample_has_no_covariance() -> None:
    with pytest.raises(InputError, match="at least 2 images"):
        gather(draw(SHAPES["one grid"], 1, 0, 0.0), (1,)).whitening(0.01)


def test_a_ridge_too_small_says_so() -> None:
    same = [torch.ones(4, 3, 1, 1)]
    with pytest.raises(InputError, match="raise the ridge"):
        gather(same, (4,)).whitening(0.0)


def test_a_ridge_that_rounding_swallows_is_doubted() -> None:
    levels = draw(SHAPES["three grids"], 6, 0, 0.0)  # 9 features
    loud = [level * 60 for level in levels]
    with pytest.warns(UserWarning, match=r"variance, 3\.38e\+03, .* ridge of 0\.036 or more, or .* more than 9 images"):
        gather(loud, (6,)).whitening(0.01)
    gather(loud, (6,)).whitening(0.036)  # warnings are errors here
    gather(levels, (6,)).whitening(0.01)
    gather([level * 60 for level in draw(SHAPES["three grids"], 30, 0, 0.0)], (30,)).whitening(0.01)


def test_samples_of_other_grids_are_refused() -> None:
    """Samples of other grids and no numbers are refused as what they are."""
    moments = gather(draw(SHAPES["one grid"], 4, 0, 0.0), (4,))
    with pytest.raises(InputError, match="one size"):
        moments.update([torch.zeros(1, 5, 3, 2)])
    levels = draw(SHAPES["one grid"], 4, 0, 0.0)
    levels[0][2, 1, 0, 0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        gather(levels, (3, 1)).whitening(0.01)
