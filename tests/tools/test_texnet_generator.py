"""The generator: what every painter promises, and what the recipes make of them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np


def test_a_seed_decides_every_pixel(tools: dict[str, ModuleType]) -> None:
    """A seed decides every pixel and another seed other pieces."""
    instances = tools["recipes"].instances
    for recipe in (0, 7, 18):
        one, two, other = (instances(recipe, 2, seed, 48) for seed in (3, 3, 4))
        assert one.shape == (2, 48, 48, 3)
        assert one.dtype == np.uint8
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)
        assert not np.array_equal(one[0], one[1])


def test_there_are_many_painters_each_once(tools: dict[str, ModuleType]) -> None:
    names = [painter.__name__ for painter in tools["painters"].PAINTERS]
    assert len(names) == len(set(names)) >= 32


def test_every_painter_fills_its_range(tools: dict[str, ModuleType]) -> None:
    """Every painter fills its range and draws from fixed alike for all pieces."""
    for painter in tools["painters"].PAINTERS:
        one, two = (painter(np.random.default_rng(recipe), np.random.default_rng(9), 72) for recipe in (1, 2))
        assert not np.array_equal(one, two), f"{painter.__name__}: the recipe decides nothing"
        spread = 0.0
        for recipe in range(6):
            after = []
            for piece in (1, 2):
                fixed = np.random.default_rng(recipe)
                field = painter(fixed, np.random.default_rng(piece), 72)
                assert field.shape == (72, 72)
                assert field.dtype == np.float32, painter.__name__
                assert -1e-5 <= field.min() <= field.max() <= 1 + 1e-5, painter.__name__
                after.append(fixed.random())
                spread = max(spread, float(field.std()))
            assert after[0] == after[1], f"{painter.__name__}: what the material is depends on the piece"
        assert spread > 0.1, (painter.__name__, spread)


def test_every_painter_repeats_itself_at_several_sides(tools: dict[str, ModuleType]) -> None:
    """Every painter repeats itself and tells pieces apart at several sides."""
    for painter in tools["painters"].PAINTERS:
        for recipe, side in ((3, 33), (4, 56), (5, 121), (6, 152)):
            one, again, other = (
                painter(np.random.default_rng(recipe), np.random.default_rng(piece), side) for piece in (1, 1, 2)
            )
            assert one.flags.c_contiguous, painter.__name__
            assert np.isfinite(one).all(), painter.__name__
            assert np.array_equal(one, again), painter.__name__
            assert not np.array_equal(one, other), painter.__name__


def test_pieces_of_one_recipe_are_more_alike(tools: dict[str, ModuleType]) -> None:
    """Power spectra and mean colours: a recipe that drew anew at each call would fail this."""
    pieces = np.stack([tools["recipes"].instances(recipe, 4, 0, 64) for recipe in range(12)]).astype(np.float32)
    grey = pieces.mean(-1)
    spectra = np.log1p(np.abs(np.fft.rfft2(grey - grey.mean((2, 3), keepdims=True)))).reshape(12, 4, -1)
    vectors = np.concatenate([spectra / spectra.std(), pieces.mean((2, 3)) / 10], axis=-1).reshape(48, -1)
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1) + 1e9 * np.eye(48)
    owner = np.arange(48) // 4
    assert (owner[distance.argmin(1)] == owner).mean() > 0.8


def test_the_cache_is_the_same_for_one_and_two_workers(tools: dict[str, ModuleType], tmp_path: Path) -> None:
    build = tools["recipes"].build_cache
    build(tmp_path / "one.npy", 5, 2, 0, 32, 1)
    build(tmp_path / "two.npy", 5, 2, 0, 32, 2)
    one = np.load(tmp_path / "one.npy")
    assert one.shape == (5, 2, 32, 32, 3)
    assert np.array_equal(one, np.load(tmp_path / "two.npy"))
    assert np.array_equal(one[3], tools["recipes"].instances(3, 2, 0, 32))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.npy", "two.npy"]


def test_the_contact_sheet_shows_each_piece_in_its_place(tools: dict[str, ModuleType]) -> None:
    page = tools["contact_sheet"].sheet(first=2, recipes=2, pieces=3, size=32, seed=0, gap=2)
    assert page.shape == (70, 104, 3)
    assert np.array_equal(page[36:68, 70:102], tools["recipes"].instances(3, 3, 0, 32)[2])
    assert (page[34:36] == 255).all()
