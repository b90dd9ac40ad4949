"""EfficientAD's autoencoder against the published layers; what it can and cannot know."""

import pytest
import torch

from blemish.ops.networks.patch_descriptor import GlobalAutoencoder


def test_the_published_layers() -> None:
    shapes = [(4, 3, 32), (4, 32, 32), (4, 32, 64), (4, 64, 64), (4, 64, 64), (8, 64, 64)]
    shapes += [(4, 64, 64)] * 6 + [(3, 64, 64), (3, 64, 384)]
    with torch.device("meta"):
        found = GlobalAutoencoder()
        assert found.encoder(torch.empty(1, 3, 256, 256)).shape == (1, 64, 1, 1)
        assert found(torch.empty(1, 3, 256, 256), (56, 56)).shape == (1, 384, 56, 56)
    assert found.sides == [3, 8, 15, 32, 63, 127]
    expected = sum(k * k * inside * outside + outside for k, inside, outside in shapes)
    assert sum(p.numel() for p in found.parameters()) == expected == 1_096_320


@pytest.mark.parametrize("side", [32, 64, 96])
def test_any_image_and_grid(side) -> None:
    found = GlobalAutoencoder(5, side, width=0.1).eval()
    assert found.encoder(torch.rand(1, 3, side, side)).shape == (1, 6, 1, 1)
    assert found(torch.rand(2, 3, 70, 50), (9, 4)).shape == (2, 5, 9, 4)


def test_the_code_is_all_that_passes() -> None:
    found = GlobalAutoencoder(5, 64, width=0.1).eval()
    with torch.no_grad():
        found.encoder[-1].weight.zero_()
        one, other = found(torch.rand(2, 3, 64, 64), (8, 8))
    torch.testing.assert_close(one, other)


def test_dropout_while_training_only() -> None:
    found, image = GlobalAutoencoder(5, 32, width=0.1), torch.rand(1, 3, 32, 32)
    assert not torch.equal(found(image, (8, 8)), found(image, (8, 8)))
    found.eval()
    assert torch.equal(found(image, (8, 8)), found(image, (8, 8)))
