"""The position encoding against loops."""

import math

import pytest
import torch

from blemish.core.errors import InputError
from blemish.models.cflow import positions_2d


def test_every_number_by_the_formula() -> None:
    channels, h, w = 12, 5, 7
    found = positions_2d(channels, h, w)
    assert found.shape == (channels, h, w)
    half = channels // 2
    for y in range(h):
        for x in range(w):
            for k in range(half // 2):
                f = 1 / 10_000 ** (2 * k / half)
                for channel, value in (
                    (2 * k, math.sin(f * x)),
                    (2 * k + 1, math.cos(f * x)),
                    (half + 2 * k, math.sin(f * y)),
                    (half + 2 * k + 1, math.cos(f * y)),
                ):
                    assert float(found[channel, y, x]) == pytest.approx(value, abs=1e-5)


def test_no_two_places_are_encoded_alike() -> None:
    code = positions_2d(128, 32, 48).flatten(1).T
    distances = torch.cdist(code, code) + 10 * torch.eye(len(code))
    assert float(distances.min()) > 0.1


@pytest.mark.parametrize("channels", [0, 6, -4])
def test_channels_come_in_fours(channels) -> None:
    with pytest.raises(InputError, match="multiple of 4"):
        positions_2d(channels, 2, 2)
