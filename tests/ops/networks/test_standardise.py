"""Streaming statistics of channels against numpy over everything at once."""

import numpy as np
import torch

from blemish.ops.networks.patch_descriptor import channel_statistics


def test_all_images_and_places_count_alike() -> None:
    chance = torch.Generator().manual_seed(0)
    maps = [torch.randn(b, 4, h, w, generator=chance) * 3 + 50 for b, h, w in ((2, 3, 5), (1, 3, 5), (4, 7, 1))]
    mean, std = channel_statistics(iter(maps))
    rows = np.concatenate([m.double().numpy().transpose(0, 2, 3, 1).reshape(-1, 4) for m in maps])
    np.testing.assert_allclose(mean.numpy(), rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std.numpy(), rows.std(0), rtol=1e-5)


def test_a_channel_that_never_changes_is_left_as_it_is() -> None:
    map = torch.stack([torch.full((3, 3), 7.3), torch.arange(9.0).view(3, 3)])[None]
    mean, std = channel_statistics([map])
    assert float(std[0]) == 1
    assert float(std[1]) > 2
    assert float(mean[0]) == np.float32(7.3)
