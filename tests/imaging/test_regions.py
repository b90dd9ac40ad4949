"""Regions are 8-connected: snakes, spirals and diagonals are one."""

import numpy as np
import pytest

from blemish.imaging import regions


def spiral(side: int) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    y, x, dy, dx = 0, 0, 0, 1
    low, high_y, high_x, left = 0, side - 1, side - 1, 0
    while low <= high_y and left <= high_x:
        mask[y, x] = True
        ny, nx = y + dy, x + dx
        if not (low <= ny <= high_y and left <= nx <= high_x):
            if (dy, dx) == (0, 1):
                low += 2
            elif (dy, dx) == (1, 0):
                high_x -= 2
            elif (dy, dx) == (0, -1):
                high_y -= 2
            else:
                left += 2
            dy, dx = dx, -dy
            ny, nx = y + dy, x + dx
            if not (0 <= ny < side and 0 <= nx < side) or mask[ny, nx]:
                break
        y, x = ny, nx
    return mask


def snake(side: int) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[::2] = True
    mask[1::4, -1] = True
    mask[3::4, 0] = True
    return mask


@pytest.mark.parametrize("mask", [np.eye(200, dtype=bool), np.eye(99, dtype=bool)[::-1], snake(201), spiral(101)])
def test_winding_shapes_are_one_region(mask) -> None:
    _, count = regions.label(mask)
    assert count == 1
    (found,) = regions.find(np.random.default_rng(0).random(mask.shape, np.float32), mask)
    assert found.area == mask.sum()


def test_box_area_and_peak_of_each_region() -> None:
    rng = np.random.default_rng(1)
    map = rng.random((80, 120), dtype=np.float32)
    mask = np.zeros((80, 120), bool)
    mask[5:15, 10:30] = mask[40:41, 50:51] = mask[60:80, 100:120] = True
    found = regions.find(map, mask)
    assert [r.peak for r in found] == sorted((r.peak for r in found), reverse=True)
    boxes = {(10, 5, 30, 15), (50, 40, 51, 41), (100, 60, 120, 80)}
    assert {r.box for r in found} == boxes
    for r in found:
        left, top, right, bottom = r.box
        inside = map[top:bottom, left:right]
        assert r.area == inside.size
        assert r.peak == inside.max() == map[r.peak_at[1], r.peak_at[0]]


def test_finding_the_peaks_takes_no_sorting_of_all_pixels(monkeypatch) -> None:
    """Where a lamp fails, all 24 megapixels of a part are defective: sorting them took longer than everything else."""
    monkeypatch.setattr(np, "argsort", lambda *args, **kwargs: pytest.fail("sorted"))
    map = np.random.default_rng(0).integers(0, 5, (50, 60)).astype(np.float32)
    (found,) = regions.find(map, np.ones(map.shape, bool))
    last = int(np.flatnonzero(map == 4)[-1])
    assert (found.peak, found.peak_at) == (4.0, (last % 60, last // 60))


def test_nothing_is_found_in_an_empty_mask() -> None:
    assert regions.find(np.zeros((4, 4), np.float32), np.zeros((4, 4), bool)) == ()
