"""Greedy k-centre against the definition, computed with nothing clever."""

import pytest
import torch

from blemish.errors import InputError
from blemish.ops.coreset import greedy_coreset


def slow_greedy(points: torch.Tensor, first: int, count: int) -> list[int]:
    picks = [first]
    while len(picks) < count:
        distances = [min(float((p - points[i]).norm()) for i in picks) for p in points]
        picks.append(max(range(len(points)), key=lambda i: distances[i]))
    return picks


def cover(points: torch.Tensor, picks: torch.Tensor) -> float:
    return float(torch.cdist(points, points[picks]).min(1).values.max())


def test_every_pick_is_the_farthest_point() -> None:
    points = torch.randn(60, 5, generator=torch.Generator().manual_seed(3))
    picks = greedy_coreset(points, 20, projection=None)
    # The first pick is ranked by the mean distance to random starts, which also seed the distances: skip to where the
    # picks alone decide, by comparing with the definition from the same first pick.
    one_start = greedy_coreset(points, 20, projection=None, starts=60)
    mean = torch.cdist(points, points).mean(1)
    assert int(one_start[0]) == int(mean.argmax())
    nearest = mean.clone()
    expected = []
    for _ in range(20):
        pick = int(nearest.argmax())
        expected.append(pick)
        nearest = torch.minimum(nearest, (points - points[pick]).norm(dim=1))
        nearest[pick] = -1
    assert one_start.tolist() == expected
    assert len(set(picks.tolist())) == 20


def test_covers_nearly_as_well_as_exact_greedy_and_better_than_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(400, 16, generator=generator)
    exact = cover(points, torch.tensor(slow_greedy(points, 0, 40)))
    ours = cover(points, greedy_coreset(points, 40, projection=None))
    chance = cover(points, torch.randperm(400, generator=generator)[:40])
    assert ours <= 1.1 * exact
    assert ours < chance


def test_projection_still_spreads_over_all_clusters() -> None:
    centres = torch.randn(12, 512, generator=torch.Generator().manual_seed(1)) * 10
    points = (centres[:, None] + torch.randn(12, 30, 512, generator=torch.Generator().manual_seed(2)) * 0.1).flatten(
        0, 1
    )
    picks = greedy_coreset(points, 12, projection=32)
    assert {int(i) // 30 for i in picks} == set(range(12))


def test_twins_are_never_picked_twice_and_a_seed_repeats() -> None:
    points = torch.zeros(30, 3)
    assert sorted(greedy_coreset(points, 30).tolist()) == list(range(30))
    more = torch.randn(200, 300)
    assert greedy_coreset(more, 20, seed=5).tolist() == greedy_coreset(more, 20, seed=5).tolist()


def test_a_tenth_of_a_hundred_points() -> None:
    points = torch.randn(100, 7)
    picks = greedy_coreset(points, 10)
    assert len(set(picks.tolist())) == 10
    assert set(picks.tolist()) <= set(range(100))
    assert points[picks].shape == (10, 7)


@pytest.mark.parametrize("count", [0, 11])
def test_impossible_sizes(count) -> None:
    with pytest.raises(InputError, match="1 to 10"):
        greedy_coreset(torch.randn(10, 2), count)
