"""Turning against exact quarter turns and against a loop that looks up each pixel."""

import math

import numpy as np
import pytest
import torch

from blemish.ops.rotation import turn


def test_quarter_turns_of_a_square_are_exact() -> None:
    image = torch.rand(3, 9, 9, generator=torch.Generator().manual_seed(0))
    for k in range(-2, 3):
        turned = turn(image, k * math.pi / 2)
        torch.testing.assert_close(turned, image.rot90(k, (1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "angle"), [((20, 30), 0.4), ((31, 17), -1.2)])
def test_each_pixel_is_looked_up_where_it_came_from(size, angle) -> None:
    image = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    found = turn(image, angle)
    for i in range(0, size[0], 3):
        for j in range(0, size[1], 3):
            y, x = i - (size[0] - 1) / 2, j - (size[1] - 1) / 2
            from_x = math.cos(angle) * x - math.sin(angle) * y + (size[1] - 1) / 2
            from_y = math.sin(angle) * x + math.cos(angle) * y + (size[0] - 1) / 2
            top, left = math.floor(from_y), math.floor(from_x)
            if not (0 <= top < size[0] - 1 and 0 <= left < size[1] - 1):
                continue
            v, u = from_y - top, from_x - left
            p = image[:, top : top + 2, left : left + 2].numpy()
            rows = (1 - v) * p[:, 0] + v * p[:, 1]
            np.testing.assert_allclose(found[:, i, j], (1 - u) * rows[:, 0] + u * rows[:, 1], atol=1e-4)


def test_no_corner_is_left_black() -> None:
    assert torch.allclose(turn(torch.full((3, 40, 25), 0.7), 0.6), torch.tensor(0.7))
