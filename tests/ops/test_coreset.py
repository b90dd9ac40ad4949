"""Greedy k-centre against the definition, computed with nothing clever."""

import tracemalloc

import numpy as np
import pytest
import torch

from blemish.core.errors import InputError
from blemish.ops import coreset
from blemish.ops.coreset import CoresetStream, greedy_coreset


@pytest.fixture(autouse=True)
def rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few points would be selected plainly; here they are to go through the compiled loops."""
    monkeypatch.setattr(coreset, "WORTH", 0)


def start(points: torch.Tensor, starts: int = 10, seed: int = 0) -> torch.Tensor:
    """Squared mean distance to the random starts, which the first pick and all limits begin with."""
    generator = torch.Generator().manual_seed(seed)
    if points.shape[1] > 128:
        torch.randn(points.shape[1], 128, generator=generator)
    first = torch.randperm(len(points), generator=generator)[:starts]
    return torch.cdist(points, points[first], compute_mode="donot_use_mm_for_euclid_dist").mean(1).square()


def brute(points: torch.Tensor, count: int, seed: int = 0) -> list[int]:
    """After every pick, the distance of every point to it, in float64; of equals the first."""
    x, nearest, picks = points.double().numpy(), start(points, seed=seed).double().numpy(), []
    for _ in range(count):
        pick = int(nearest.argmax())
        picks.append(pick)
        nearest = np.minimum(nearest, np.square(x - x[pick]).sum(1))
        nearest[picks] = -1
    return picks


def shortfall(points: torch.Tensor, picks: torch.Tensor, seed: int = 0) -> float:
    """By how much, relatively, a pick at worst was nearer than the farthest point there was; exact greedy: rounding."""
    x, nearest, worst = points.double().numpy(), start(points, seed=seed).double().numpy(), 0.0
    scale = float(np.square(x - x.mean(0)).sum(1).max())
    for pick in picks.tolist():
        worst = max(worst, (nearest.max() - nearest[pick]) / max(nearest.max(), 1e-6 * scale))
        nearest = np.minimum(nearest, np.square(x - x[pick]).sum(1))
        nearest[pick] = -1
    assert len(set(picks.tolist())) == len(picks)
    return worst


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clustered(n: int, dims: int, clusters: int, noise: float) -> torch.Tensor:
    return (normal(clusters, dims, seed=1) * 3)[torch.arange(n) * 7919 % clusters] + noise * normal(n, dims)


def feature_like(n: int, dims: int) -> torch.Tensor:
    """Spectrum falling as of network features, not negative, neighbours alike, one in 50 far out."""
    walk = normal(n, dims).view(-1, 50, dims).cumsum(1).flatten(0, 1) / 5 + 0.5 * normal(n, dims, seed=1)
    walk[::50] *= 2
    return (walk * torch.arange(1, dims + 1) ** -0.6 @ torch.linalg.qr(normal(dims, dims, seed=2))[0] + 0.2).relu()


WHOLE = {  # coordinates are whole numbers: distances have no rounding, and ties are many
    "grid": torch.cartesian_prod(torch.arange(60.0), torch.arange(60.0)),
    "cube": torch.randint(0, 4, (4000, 6), generator=torch.Generator().manual_seed(0)).float(),
    "twins": torch.randint(0, 9, (150, 20), generator=torch.Generator().manual_seed(0)).float().repeat(20, 1),
    "line": torch.arange(3000.0)[:, None],
    "corners": torch.eye(30).repeat(150, 1),
}
REAL = {
    "normal": normal(3000, 24),
    "wide": normal(3000, 100),
    "clustered": clustered(3000, 64, 40, 0.05),
    "noisy clusters": clustered(3000, 128, 40, 1.0),
    "feature-like": feature_like(5000, 128),
    "far from the origin": normal(2000, 40) + 50,
    "sphere": torch.nn.functional.normalize(normal(3000, 128), dim=1),
    "odd dimensions": normal(2000, 37),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("seed", [0, 5])
def test_without_rounding_all_picks_are_those_of_the_definition(name: str, seed: int) -> None:
    assert greedy_coreset(WHOLE[name], 500, seed=seed).picks.tolist() == brute(WHOLE[name], 500, seed=seed)


@pytest.mark.parametrize("name", REAL)
def test_every_pick_is_the_farthest_up_to_rounding(name: str) -> None:
    points = REAL[name]
    picks = greedy_coreset(points, 400).picks
    assert shortfall(points, picks) < 1e-4
    assert picks[:100].tolist() == brute(points, 100)


def test_dropped_levels_small_sets_and_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropping levels by hand small active sets and tiles change nothing."""
    expected = {name: greedy_coreset(points, 300).picks.tolist() for name, points in WHOLE.items()}
    monkeypatch.setattr(coreset, "ACTIVE", 16)  # ties then overflow it
    assert {name: greedy_coreset(points, 300).picks.tolist() for name, points in WHOLE.items()} == expected


def test_few_points_are_selected_plainly_and_the_same_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.randn(500, 20, generator=torch.Generator().manual_seed(3))
    by_rounds = greedy_coreset(points, 60)
    monkeypatch.setattr(coreset, "WORTH", 500 * 60 * 20 + 1)
    monkeypatch.setattr(coreset, "_Rounds", None)  # would fail if it were called
    plainly = greedy_coreset(points, 60)
    assert torch.equal(plainly.picks, by_rounds.picks)
    assert plainly.radius == pytest.approx(by_rounds.radius, rel=1e-5)


def test_the_plain_scan_of_gpus_agrees() -> None:
    points = WHOLE["twins"]
    assert coreset._plain(points, start(points), 140)[0].tolist() == brute(points, 140)


@pytest.mark.parametrize("worth", [0, 2**60])
@pytest.mark.parametrize("offset", [30.0, 1000.0])
def test_what_all_points_share_changes_nothing(offset: float, worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreset, "WORTH", worth)  # by rounds, and plainly as on a GPU
    points = feature_like(3000, 64) + offset  # float32 keeps their differences to 1e-4 at the worst
    exact = points.double()
    found = greedy_coreset(points, 300, projection=None)
    assert found.radius == pytest.approx(cover(exact, exact[found.picks]), rel=1e-3)
    best = cover(exact, exact[greedy_coreset((exact - offset).float(), 300, projection=None).picks])
    assert cover(exact, exact[found.picks]) <= 1.001 * best


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    points = WHOLE["cube"]
    assert shortfall(points, greedy_coreset(points.cuda(), 300).picks.cpu()) < 1e-4


def test_all_points_can_be_picked_and_a_single_one() -> None:
    assert sorted(greedy_coreset(normal(300, 50), 300).picks.tolist()) == list(range(300))
    assert sorted(greedy_coreset(WHOLE["corners"], 4500).picks.tolist()) == list(range(4500))
    assert greedy_coreset(torch.zeros(30, 3), 30).picks.tolist() == list(range(30))
    assert greedy_coreset(normal(1, 4), 1).picks.tolist() == [0]
    assert greedy_coreset(normal(100, 200), 1).picks.dtype == torch.int64


def test_projection_still_spreads_over_all_clusters() -> None:
    picks = greedy_coreset(clustered(360, 512, 12, 0.05), 12, projection=32).picks
    assert len({int(i) * 7919 % 12 for i in picks}) == 12


def test_the_seed_decides_and_threads_do_not() -> None:
    points, threads = feature_like(3000, 300), torch.get_num_threads()
    once = greedy_coreset(points, 250, seed=3).picks
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            again = greedy_coreset(points, 250, seed=3).picks
            assert len(set(once.tolist()) & set(again.tolist())) > 245  # torch's products round by threads
            few = greedy_coreset(points[:, :32], 250, seed=3).picks  # no product is taken
            assert few.tolist() == greedy_coreset(points[:, :32].clone(), 250, seed=3).picks.tolist()
            assert greedy_coreset(WHOLE["cube"], 300).picks.tolist() == brute(WHOLE["cube"], 300)
    finally:
        torch.set_num_threads(threads)
    assert once.tolist() == greedy_coreset(points, 250, seed=3).picks.tolist()
    assert once.tolist() != greedy_coreset(points, 250, seed=4).picks.tolist()


def test_memory_is_bounded() -> None:
    points = normal(20_000, 32)
    greedy_coreset(points, 10)  # compiled
    tracemalloc.start()
    try:
        greedy_coreset(points, 1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < points.nbytes  # numpy's and Python's own; far from N x count


def test_what_is_given_stays_as_it_is() -> None:
    points = normal(500, 16)
    before = points.clone()
    greedy_coreset(points, 50)
    greedy_coreset(points.half().requires_grad_(), 5)
    greedy_coreset(points.t().contiguous().t(), 5)
    assert torch.equal(points, before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_broken_numbers_come_to_an_end(bad: float) -> None:
    points = normal(200, 40)
    points[7, 3] = bad
    assert len(greedy_coreset(points, 20).picks) == 20


@pytest.mark.parametrize("count", [0, 11])
def test_impossible_sizes(count: int) -> None:
    with pytest.raises(InputError, match="1 to 10"):
        greedy_coreset(torch.randn(10, 2), count)


# --- a stream


def streamed(points: torch.Tensor, limit: int, *, share: float = 0.1, size: int | None = None) -> CoresetStream:
    stream = CoresetStream(share, size, limit=limit, projection=None)
    for piece in points.split(170):
        stream.add(piece)
        assert sum(map(len, stream._fresh)) + sum(map(len, stream._kept)) <= max(limit, 170)
    return stream


def cover(points: torch.Tensor, bank: torch.Tensor) -> float:
    return float(torch.cdist(points, bank, compute_mode="donot_use_mm_for_euclid_dist").min(1).values.max())


def test_a_stream_that_fits_gives_the_coreset_of_all_points() -> None:
    points = feature_like(3000, 100)
    bank = streamed(points, 3000).bank()
    assert torch.equal(bank, points[greedy_coreset(points, 300, projection=None).picks])


@pytest.mark.parametrize(("limit", "times"), [(2000, 3.5), (1200, 3.5), (800, 8)])  # each thinning adds its radius
@pytest.mark.parametrize("size", [None, 150])
def test_a_longer_stream_covers_all_points_within_its_radius(limit: int, times: float, size: int | None) -> None:
    points = feature_like(3000, 60)
    stream = streamed(points, limit, size=size)
    bank = stream.bank()
    assert bank.shape == (size or 300, 60)
    assert set(map(tuple, bank.tolist())) <= set(map(tuple, points.tolist()))
    best = cover(points, points[greedy_coreset(points, len(bank), projection=None).picks])
    assert cover(points, bank) <= stream.radius * 1.0001
    assert stream.radius <= times * best  # the guarantee is not empty
    radius = stream.radius
    assert torch.equal(stream.bank(), bank)
    assert stream.radius == radius, "asked twice"
    assert cover(points, bank) <= 1.5 * best


def test_the_radius_of_a_selection_is_its_cover() -> None:
    """The radius of a selection is its cover even where no pick lowered a limit."""
    for name, count in (("clustered", 3), ("normal", 1), ("normal", 50), ("sphere", 200)):
        found = greedy_coreset(REAL[name], count)
        assert found.radius == pytest.approx(cover(REAL[name], REAL[name][found.picks]), rel=1e-3), name


def test_a_bank_that_outgrows_the_memory_says_what_to_do() -> None:
    with pytest.raises(InputError, match="fixed coreset_size"):
        streamed(normal(3000, 8), 600, share=0.4)


def test_points_may_come_in_pieces() -> None:
    points = feature_like(1000, 200)
    whole, pieces = greedy_coreset(points, 90), greedy_coreset(points.split(64), 90)
    assert (
        len(set(whole.picks.tolist()) & set(pieces.picks.tolist())) > 85
    )  # products of other shapes round differently
