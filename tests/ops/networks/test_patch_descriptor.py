"""PDNs against the published layers, their patches against what they can see, their targets against loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from blemish.core.errors import InputError
from blemish.ops.networks.patch_descriptor import BORDER, LEAST, patch_descriptor, patch_targets, prepare


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("channels", "small", "medium"), [(384, 2_694_144, 8_026_624), (768, 4_267_392, 11_615_488)])
def test_the_published_sizes(channels, small, medium) -> None:
    def layers(*shapes: tuple[int, int, int]) -> int:
        return sum(k * k * inside * outside + outside for k, inside, outside in shapes)

    s = layers((4, 3, 128), (4, 128, 256), (3, 256, 256), (4, 256, channels))
    m = layers((4, 3, 256), (4, 256, 512), (1, 512, 512), (3, 512, 512), (4, 512, channels), (1, channels, channels))
    with torch.device("meta"):
        assert count(patch_descriptor("s", channels)) == s == small
        assert count(patch_descriptor("m", channels)) == m == medium


@pytest.mark.parametrize("size", ["s", "m"])
def test_grids(size) -> None:
    pdn = patch_descriptor(size, 5, width=0.02)
    for side, cells in ((256, 56), (128, 24), (64, 8), (LEAST, 1)):
        assert pdn(torch.zeros(1, 3, side, 256)).shape == (1, 5, cells, 56)
        assert abs(side - 4 * (cells + 2 * BORDER)) < 4, "with its border the grid covers the image"
    with pytest.raises(RuntimeError):
        pdn(torch.zeros(1, 3, LEAST - 1, 256))
    with pytest.raises(InputError, match="each side needs 33"):
        prepare(torch.zeros(1, 3, LEAST - 1, 256))


@pytest.mark.parametrize("size", ["s", "m"])
def test_a_description_sees_33_pixels_a_side(size) -> None:
    torch.manual_seed(0)  # so thin a network may be dead by chance
    pdn = patch_descriptor(size, 4, width=0.05).double()
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    pdn(image)[0, :, 2, 3].sum().backward()
    assert image.grad is not None
    rows, columns = (image.grad[0].abs().sum((0, dim)).nonzero().flatten().tolist() for dim in (2, 1))
    assert (rows[0], rows[-1]) == (8, 8 + 32)
    assert (columns[0], columns[-1]) == (12, 12 + 32)


def test_images_are_prepared_as_imagenets() -> None:
    image = torch.rand(2, 3, 34, 35)
    expected = (image.numpy() - np.reshape([0.485, 0.456, 0.406], (3, 1, 1))) / np.reshape(
        [0.229, 0.224, 0.225], (3, 1, 1)
    )
    np.testing.assert_allclose(prepare(image).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_targets_place_by_place() -> None:
    """A level with fewer channels than its share repeats them, one with more averages neighbours."""
    shallow, deep = torch.rand(2, 2, 12, 11), torch.rand(2, 12, 6, 6)
    found = patch_targets([shallow, deep], 8, (4, 3))
    assert found.shape == (2, 8, 4, 3)
    for b in range(2):
        for y in range(4):
            for x in range(3):
                at = (y + BORDER, x + BORDER)
                patch = F.pad(shallow, (1, 1, 1, 1))[b, :, at[0] : at[0] + 3, at[1] : at[1] + 3]
                expected = patch.mean((1, 2)).repeat_interleave(2)
                torch.testing.assert_close(found[b, :4, y, x], expected)
    around = torch.stack(
        [F.pad(deep, (1, 1, 1, 1))[:, :, y : y + 3, x : x + 3].mean((2, 3)) for y in range(6) for x in range(6)]
    )
    around = around.permute(1, 2, 0).view(2, 12, 6, 6)
    grown = F.interpolate(around, (12, 11), mode="bilinear", align_corners=False)[:, :, 4:-4, 4:-4]
    expected = torch.stack([grown[:, 3 * i : 3 * i + 3].mean(1) for i in range(4)], dim=1)
    torch.testing.assert_close(found[:, 4:], expected)
