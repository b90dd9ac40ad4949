"""Patch descriptions against a loop over every place."""

import torch
import torch.nn.functional as F

from blemish.ops.maps import describe


def slow(m: torch.Tensor, side: int) -> torch.Tensor:
    reach = side // 2
    padded = F.pad(m, (reach, reach, reach, reach))
    out = torch.zeros_like(m)
    for y in range(m.shape[2]):
        for x in range(m.shape[3]):
            out[:, :, y, x] = padded[:, :, y : y + side, x : x + side].mean((2, 3))
    return out


def test_each_place_is_the_mean_of_its_neighbourhood() -> None:
    shallow, deep = torch.rand(2, 3, 5, 7), torch.rand(2, 4, 3, 4)
    for side in (1, 3, 5):
        found = describe([shallow, deep], side)
        assert found.shape == (2, 5, 7, 7)
        torch.testing.assert_close(found[..., :3], slow(shallow, side).permute(0, 2, 3, 1))
        grown = F.interpolate(slow(deep, side), size=(5, 7), mode="bilinear", align_corners=False)
        torch.testing.assert_close(found[..., 3:], grown.permute(0, 2, 3, 1))


def test_a_neighbourhood_of_one_is_the_place_itself() -> None:
    m = torch.rand(1, 2, 4, 4)
    assert torch.equal(describe([m], 1), m.permute(0, 2, 3, 1))
