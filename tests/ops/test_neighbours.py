"""Nearest neighbours against the full matrix of distances."""

import pytest
import torch

from blemish.core.errors import InputError
from blemish.ops import byte_tiles, neighbours
from blemish.ops.tiles import bounds_of


@pytest.mark.parametrize("k", [1, 3, 40])
def test_agrees_with_the_full_matrix(k, monkeypatch) -> None:
    monkeypatch.setattr(neighbours, "_CELLS", 1000)  # several blocks
    generator = torch.Generator().manual_seed(0)
    queries, bank = torch.randn(77, 12, generator=generator), torch.randn(40, 12, generator=generator)
    squared, indices = neighbours.nearest(queries, bank, k)
    full = torch.cdist(queries.double(), bank.double()).square()
    expected = full.sort(dim=1)
    torch.testing.assert_close(squared.double(), expected.values[:, :k], rtol=1e-5, atol=1e-6)
    assert torch.equal(indices, expected.indices[:, :k])


def test_a_member_is_at_distance_zero_even_away_from_the_origin() -> None:
    bank = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) + 30
    squared, indices = neighbours.nearest(bank, bank, 1, norms=neighbours.norms_of(bank))
    assert torch.equal(indices[:, 0], torch.arange(50))
    assert torch.equal(squared[:, 0], torch.zeros(50))


@pytest.mark.parametrize("exported", [False, True])
@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("offset", [100, 1000])
def test_the_nearest_are_found_far_from_the_origin(
    offset: int, k: int, exported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranked by norms about the origin, one in fifty is wrong at 100 and nearly all at 1000."""
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: exported)
    monkeypatch.setattr(neighbours, "PART", 300)
    generator = torch.Generator().manual_seed(0)
    queries, bank, where = (torch.randn(rows, 50, generator=generator) for rows in (300, 1000, 1))
    queries, bank = queries + offset * where, bank + offset * where
    full = (queries.double()[:, None] - bank.double()).square().sum(2)
    found = full.gather(1, neighbours.nearest(queries, bank, k)[1])
    torch.testing.assert_close(found, full.sort(dim=1).values[:, :k], rtol=1e-5, atol=0)


CASES = {
    "normal": torch.randn(700, 100, generator=torch.Generator().manual_seed(0)),
    "few dimensions": torch.randn(700, 7, generator=torch.Generator().manual_seed(0)),
    "most variance in front": torch.randn(700, 200, generator=torch.Generator().manual_seed(0))
    @ torch.linalg.qr(torch.randn(200, 200, generator=torch.Generator().manual_seed(1)))[0]
    * torch.arange(1, 201) ** -1.0,
    "all the same but one": torch.cat([torch.ones(699, 40), torch.zeros(1, 40)]),
    "far from the origin": torch.randn(700, 50, generator=torch.Generator().manual_seed(0)) + 100,
}


BYTES = [
    pytest.param(name, marks=pytest.mark.skipif(name not in byte_tiles.means(), reason=f"the processor has no {name}"))
    for name in byte_tiles.MOST
]
WAYS = [*BYTES, "floats"]


@pytest.mark.slow
@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("name", CASES)
def test_bounds_lose_nobody(name: str, k: int, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "WORTH", 0)
    queries, bank = CASES[name][:200], CASES[name][150:]  # a quarter of the queries are members
    search = neighbours.Search(bank, neighbours.leads(bank), by=by)
    squared, indices = neighbours.nearest(queries, bank, k, search=search)
    full = (queries.double()[:, None] - bank.double()).square().sum(2)
    expected = full.sort(dim=1).values[:, :k]
    torch.testing.assert_close(squared.double(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(full.gather(1, indices), expected, rtol=1e-4, atol=1e-5)
    assert all(len(set(row)) == k for row in indices.tolist())


def test_bounds_are_lower_bounds_and_spare_measurements() -> None:
    """Bounds are below the distances and hardly any is measured."""
    bank = CASES["most variance in front"]
    search = neighbours.Search(bank, neighbours.leads(bank), by="floats")
    centre, axes = search.leads
    assert axes.shape == (200, neighbours.FLOATS)
    rows = bounds_of(bank.double(), centre.double(), axes.double())
    tiles = torch.from_numpy(search.tiles)
    assert tiles.shape == (11, 40, 64)
    torch.testing.assert_close(tiles.transpose(1, 2).flatten(0, 1)[:700, :33].double(), rows, rtol=1e-4, atol=1e-4)
    bounds, distances = torch.cdist(rows, rows), torch.cdist(bank.double(), bank.double())
    assert (bounds <= distances + 1e-6).all()
    distances.fill_diagonal_(torch.inf)
    nearest = distances.min(1).values
    assert float((bounds < nearest[:, None]).double().mean()) < 0.1


@pytest.mark.parametrize("by", BYTES)
def test_bytes_are_kept_as_documented_and_spare_distances(by: str) -> None:
    """Bytes are kept as they are said to be and spare nearly all distances."""
    queries, bank = CASES["most variance in front"][:100], CASES["most variance in front"][100:]
    lie = neighbours.leads(bank)
    tiles = byte_tiles.ByteTiles(bank, *lie, by)
    rows = bounds_of(bank, lie.centre, tiles.axes)
    most = byte_tiles.MOST[by]
    stored = torch.from_numpy(tiles.tiles).transpose(-3, -2).reshape(-1, 64)[:600].double() - (most + 1)
    exact = (rows.double() - torch.from_numpy(tiles.middle)) * float(tiles.scale)
    assert float((stored - exact).norm(dim=1).max()) == pytest.approx(float(tiles.moved), rel=1e-4)
    assert stored.abs().max() == most
    expected = -torch.floor(stored.square().sum(1) / 2)
    assert torch.equal(torch.from_numpy(tiles.halves)[:600].double(), expected)
    assert (torch.from_numpy(tiles.halves)[600:] == byte_tiles.NOBODY).all()
    _, found, taken = tiles.nearest(queries, 1)
    assert torch.equal(found, neighbours.nearest(queries, bank, 1)[1])
    assert taken < 0.1 * len(queries) * len(bank)


def test_axes_are_mixed_evenly_and_stay_orthonormal() -> None:
    """Distances stay, and the largest coordinate, which decides how finely bytes round, is much smaller."""
    mixed = byte_tiles.evenly(63)
    torch.testing.assert_close(mixed @ mixed.T, torch.eye(63), rtol=0, atol=1e-5)
    rows = torch.randn(500, 63, generator=torch.Generator().manual_seed(0)) / torch.arange(1, 64)
    assert float((rows @ mixed).abs().max()) < 0.5 * float(rows.abs().max())


@pytest.mark.parametrize("by", BYTES)
def test_the_largest_sums_of_products_fit(by: str) -> None:
    """Corners of a cube, every byte as large as it may be: sums that overflow would send queries elsewhere."""
    generator = torch.Generator().manual_seed(6)
    bank = torch.randint(0, 2, (400, 63), generator=generator) * 2.0 - 1
    queries = bank[:50].clone()
    queries[:, :3] *= -1
    tiles = byte_tiles.ByteTiles(bank, torch.zeros(63), byte_tiles.evenly(63).T.contiguous(), by)  # unmixed again
    assert (torch.from_numpy(tiles.tiles).transpose(1, 2).reshape(-1, 64)[:400, :63].double() - 1).abs().max() > 120
    found, who, _ = tiles.nearest(queries, 1)
    assert who[:, 0].tolist() == list(range(50))
    torch.testing.assert_close(found[:, 0], torch.full((50,), 12.0))


@pytest.mark.parametrize("by", BYTES)
def test_queries_far_outside_the_bank_are_found_too(by: str) -> None:
    """Their bytes are cut off; that widens what is looked at, and loses nobody."""
    generator = torch.Generator().manual_seed(5)
    bank = torch.randn(300, 80, generator=generator)
    queries = bank[:64] * 20 + torch.randn(64, 80, generator=generator)
    search = neighbours.Search(bank, neighbours.leads(bank), by=by)
    assert torch.equal(search(queries, 2)[1], neighbours.nearest(queries, bank, 2)[1])


@pytest.mark.parametrize("by", WAYS)
def test_threads_and_company_change_nothing(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "WORTH", 0)
    queries, bank = CASES["normal"][:300], CASES["normal"][300:]
    search, threads = neighbours.Search(bank, neighbours.leads(bank), by=by), torch.get_num_threads()
    together = neighbours.nearest(queries, bank, 2, search=search)[0]
    try:
        torch.set_num_threads(1)
        assert torch.equal(neighbours.nearest(queries, bank, 2, search=search)[0], together)
    finally:
        torch.set_num_threads(threads)
    for part, expected in zip(queries.split(37), together.split(37), strict=True):
        torch.testing.assert_close(neighbours.nearest(part, bank, 2, search=search)[0], expected)


def test_queries_that_are_no_numbers_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "WORTH", 0)
    bank = CASES["normal"]
    queries = bank[:3].clone()
    queries[1, 4] = torch.nan
    squared, _ = neighbours.nearest(queries, bank, search=neighbours.Search(bank, neighbours.leads(bank)))
    assert squared.isnan()[:, 0].tolist() == [False, True, False]


def test_impossible_k() -> None:
    with pytest.raises(InputError, match="1 to 5"):
        neighbours.nearest(torch.randn(3, 2), torch.randn(5, 2), 6)
