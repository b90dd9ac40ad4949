"""Simplex noise: a loop over all lattice points, its range, continuity, seed and spectrum, and OpenSimplex's spread."""

import numpy as np
import pytest
import torch

from blemish.ops.simplex import GRADIENTS, SCALE, fractal, simplex, tables


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_simplex(point: np.ndarray, table: np.ndarray) -> float:
    """The sum of the bumps of every lattice point near by, wherever its tetrahedron may be."""
    total, near = 0.0, np.floor(point + point.sum() / 3).astype(int)
    for step in np.ndindex(5, 5, 5):
        node = near + np.array(step) - 2
        away = point - (node - node.sum() / 6)
        reach = 0.5 - (away**2).sum()
        if reach > 0:
            i = 0
            for axis in range(3):
                i = table[(node[axis] + i) % 256]
            total += reach**4 * float(GRADIENTS[i % 12].numpy() @ away)
    return SCALE * total


def test_a_point_sums_the_bumps_of_all_lattice_points() -> None:
    points = 40 * torch.rand(2, 100, 3, generator=seeded(0), dtype=torch.float64) - 20  # below 0, too
    table = tables(2, 3, generator=seeded(1))
    expected = np.zeros((2, 3, 100))
    for n, c, p in np.ndindex(2, 3, 100):
        expected[n, c, p] = slow_simplex(points[n, p].numpy(), table[n, c].numpy())
    np.testing.assert_allclose(simplex(points, table).numpy(), expected, atol=1e-10)


def test_range_is_filled_and_kept() -> None:
    noise = simplex(300 * torch.rand(1, 50_000, 3, generator=seeded(0)), tables(1, 20, generator=seeded(0)))
    assert noise.abs().max() <= 1
    assert noise.max() > 0.9
    assert noise.min() < -0.9
    assert abs(float(noise.mean())) < 0.01
    assert float(noise.std()) == pytest.approx(0.392, rel=0.02)


def test_zero_at_lattice_points() -> None:
    node = torch.randint(-50, 50, (1, 200, 3), generator=seeded(0)).double()
    points = node - node.sum(2, keepdim=True) / 6
    table = tables(1, 1, generator=seeded(0))
    assert float(simplex(points, table).abs().max()) < 1e-12
    assert float(simplex(points + 0.3, table).abs().mean()) > 0.1


def test_it_is_continuous_and_so_is_its_slope() -> None:
    """Along a line that crosses hundreds of tetrahedra, with steps ten times smaller, jumps are ten times smaller."""
    direction, table = torch.tensor([0.6, 0.64, 0.48], dtype=torch.float64), tables(1, 1, generator=seeded(0))

    def jumps(step: float) -> tuple[float, float]:
        at = torch.arange(0, 60, step, dtype=torch.float64)[None, :, None] * direction
        slope = simplex(at, table).diff() / step
        return float(slope.abs().max() * step), float(slope.diff().abs().max())

    coarse, fine = jumps(1e-2), jumps(1e-3)
    assert fine[0] == pytest.approx(coarse[0] / 10, rel=0.05)
    assert fine[1] == pytest.approx(coarse[1] / 10, rel=0.05)


def test_the_seed_decides_and_tables_are_orders() -> None:
    def draw(seed: int) -> torch.Tensor:
        return fractal((16, 24), torch.tensor([5.0]), tables(1, 2, generator=seeded(seed)))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(tables(5, generator=seeded(0)).sort(1).values, torch.arange(256).expand(5, -1))


def test_octaves_halve_in_width_and_fall_in_height() -> None:
    depth, table = torch.tensor([3.0, 70.0]), tables(2, 1, generator=seeded(0))
    found = fractal((20, 12), depth, table, octaves=3, persistence=0.5, frequency=10.0)
    y, x = np.mgrid[:20, :12]
    for n in range(2):
        points = np.stack([y, x, np.full(y.shape, float(depth[n]))], axis=-1).reshape(1, -1, 3) / 2
        expected = np.zeros(20 * 12)
        for height, width in ((0.8, 10), (0.4, 5), (0.2, 2.5)):
            expected += height * simplex(torch.tensor(points / width), table[n : n + 1]).numpy()[0, 0]
        np.testing.assert_allclose(found[n, 0].flatten().numpy(), expected, atol=1e-5)


def test_a_field_does_not_depend_on_its_company() -> None:
    depth, table = torch.tensor([3.0, 70.0, 9.0]), tables(3, 2, generator=seeded(0))
    assert torch.equal(fractal((8, 9), depth, table)[1:2], fractal((8, 9), depth[1:2], table[1:2]))


def mean_frequency(frequency: float, octaves: int = 1) -> float:
    """The mean frequency of many fields of 128 x 128 pixels, in cycles a field, weighed by power."""
    fields = fractal(
        (128, 128), 37.0 * torch.arange(24), tables(24, 1, generator=seeded(0)), octaves=octaves, frequency=frequency
    )
    power = (np.abs(np.fft.fft2(fields[:, 0].numpy())) ** 2).mean(0)
    power[0, 0] = 0
    f = np.abs(np.fft.fftfreq(128, 1 / 128))
    return float((power * np.hypot(f[:, None], f)).sum() / power.sum())


def test_spectrum() -> None:
    """Half the width, twice the frequency; more octaves add higher ones."""
    assert mean_frequency(8) / mean_frequency(16) == pytest.approx(2, rel=0.1)
    assert mean_frequency(4) / mean_frequency(8) == pytest.approx(2, rel=0.1)
    assert mean_frequency(16, octaves=4) > 1.5 * mean_frequency(16)


def slow_opensimplex(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """OpenSimplex's sum, with fresh random gradients for each point: bumps (2 - d²)⁴ on its own lattice, over 103."""
    long = [np.roll([11 * a, 4 * b, 4 * c], r) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1) for r in range(3)]
    node = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
    node = node + node.sum(1, keepdims=True) / 3
    base = points + points.sum(1, keepdims=True) / 3
    away = base[:, None] - node
    bump = np.clip(2 - (away**2).sum(2), 0, None) ** 4
    gradient = np.array(long)[rng.integers(24, size=bump.shape)]
    return (bump * (gradient * away).sum(2)).sum(1) / 103


def test_one_octave_spreads_as_opensimplex_does() -> None:
    rng = np.random.default_rng(0)
    expected = slow_opensimplex(rng.random((4_000, 3)), rng).std()
    fields = fractal(
        (64, 64),
        100 * torch.rand(40, generator=seeded(0)),
        tables(40, 1, generator=seeded(0)),
        octaves=1,
        frequency=4.1,
    )
    assert float(fields.std()) == pytest.approx(expected, rel=0.04)
    assert float(
        fractal((128, 128), 99 * torch.rand(40, generator=seeded(0)), tables(40, 1, generator=seeded(0))).std()
    ) == pytest.approx(0.5, rel=0.1)
