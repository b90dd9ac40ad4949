"""TexNet: its shapes and its shipped weights."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from blemish.core.errors import FormatError, InputError, UnknownName, WeightsError
from blemish.core.saved import read_saved, tensors_sha256, write_saved
from blemish.features import extractor
from blemish.features.texnet import (
    MEAN,
    SIZES,
    STAGES,
    STD,
    STRIDES,
    Smooth,
    TexNet,
    load_weights,
    read_weights,
    texnet,
    texnet_features,
)
from blemish.models import PatchCore
from parts import Parts, stripes

SHIPPED = Path(str(resources.files("blemish.features") / "weights" / "texnet_s.safetensors"))
SMALL = SIZES["texnet_s"]


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def normalised(image: torch.Tensor) -> torch.Tensor:
    return (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


# --- architecture


@pytest.mark.parametrize("name", SIZES)
def test_each_stage_has_its_channels_and_stride(name: str, image: torch.Tensor) -> None:
    net = texnet(name, weights=False)
    for i, map in enumerate(net(image)):
        stride = STRIDES[STAGES[i]]
        assert map.shape == (2, SIZES[name].channels[i], 64 // stride, 96 // stride)


def test_the_sizes_stay_within_their_files() -> None:
    """Two bytes a weight: at most 4 MB for the one in the wheel, 16 MB for the larger one."""
    bytes_ = {name: 2 * sum(p.numel() for p in texnet(name, weights=False).parameters()) for name in SIZES}
    assert bytes_["texnet_s"] < 4e6 < bytes_["texnet_m"] < 16e6


def test_sides_that_no_stride_divides_are_rounded_up() -> None:
    for stage, map in zip(STAGES, texnet(weights=False)(torch.rand(1, 3, 61, 70)), strict=True):
        assert map.shape[2:] == (-(-61 // STRIDES[stage]), -(-70 // STRIDES[stage]))


def test_a_subset_of_stages_gives_the_same_maps(image: torch.Tensor) -> None:
    """A subset of stages gives the same maps and builds nothing deeper."""
    every = dict(zip(STAGES, texnet()(image), strict=True))
    net = texnet(stages=("stage3", "stage2"))
    assert net.stages == ("stage2", "stage3")
    assert not hasattr(net, "stage1_neck")
    assert hasattr(net, "stage4_neck")  # stage 3's map carries it
    for stage, map in zip(net.stages, net(image), strict=True):
        assert torch.equal(map, every[stage])
    shallow = texnet(stages=("stage2",))
    assert not hasattr(shallow, "stage3")
    assert torch.equal(shallow(image)[0], every["stage2"])


def test_stage_three_carries_what_stage_four_sees_around_it(image: torch.Tensor) -> None:
    net = texnet()
    necks, (*_, third, fourth) = net.projections(image), net(image)
    ranked = SMALL.ranked
    assert torch.equal(fourth, necks["stage4"])
    around = F.interpolate(fourth, scale_factor=2, mode="bilinear", align_corners=False)
    assert third.shape[1] == 192
    torch.testing.assert_close(third[:, :ranked], necks["stage3"][:, :ranked] + around[:, :ranked])
    torch.testing.assert_close(third[:, ranked:128], necks["stage3"][:, ranked:])
    torch.testing.assert_close(third[:, 128:], around[:, ranked:])


def test_a_smooth_layer_is_half_itself_half_its_neighbours() -> None:
    """Against the layer at every place, one place at a time; away from the border, where what lies beyond is made up."""
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3, stride=2, padding=1), torch.nn.ReLU())
    everywhere = torch.nn.Conv2d(3, 5, 3, padding=1)
    everywhere.load_state_dict(layer[0].state_dict())
    x = torch.rand(2, 3, 13, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, dense = Smooth(layer)(x), everywhere(x).relu()
    assert found.shape == (2, 5, 7, 8)
    for i in range(1, 6):
        for j in range(1, 7):
            beside = [dense[:, :, 2 * i + a, 2 * j + b] for a in (-1, 1) for b in (-1, 1)]
            torch.testing.assert_close(found[:, :, i, j], dense[:, :, 2 * i, 2 * j] / 2 + sum(beside) / 8)


def test_fine_textures_look_alike_on_even_and_odd_pixels() -> None:
    """Stripes of two pixels are where a stride of 2 does most harm: it meets one of the two, and always the same."""
    stripes = (torch.arange(257) % 2).float().expand(1, 3, 256, 257)
    pictures, net = (stripes[..., :256], stripes[..., 1:]), texnet()
    with torch.no_grad():
        strided = [net.stem.layer(x)[..., 1:-1, 1:-1] for x in pictures]
        smoothed = [net.stem(x)[..., 1:-1, 1:-1] for x in pictures]
        first = [net(x)[0][..., 4:-4, 4:-4] for x in pictures]
    assert (strided[0] - strided[1]).abs().mean() > 0.1 * strided[0].mean()
    torch.testing.assert_close(*smoothed)
    torch.testing.assert_close(*first)


def test_unknown_and_no_stages_are_refused() -> None:
    with pytest.raises(UnknownName, match="stage2"):
        TexNet(SMALL, ("stage22",))
    with pytest.raises(InputError, match="at least one"):
        TexNet(SMALL, ())


# --- shipped weights


def test_the_shipped_file_is_small_and_matches_its_hash() -> None:
    """The shipped file is small complete and matches its hash."""
    assert SHIPPED.stat().st_size <= 4_000_000
    tensors, metadata = read_weights(SHIPPED)
    assert set(tensors) == set(texnet(weights=False).state_dict())
    assert {str(value.dtype) for value in tensors.values()} == {"torch.float16"}
    assert metadata["sha256"] == tensors_sha256(tensors)
    assert (metadata["name"], metadata["licence"]) == ("texnet_s", "Apache-2.0")
    assert metadata["version"]
    trained = json.loads(metadata["trained"])
    assert trained["steps"] > 0
    assert trained["recipes"] > 0


def test_loaded_weights_are_the_files_values_in_float32() -> None:
    tensors, _ = read_weights(SHIPPED)
    state = texnet().state_dict()
    for name, value in tensors.items():
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], value.float())


def test_features_are_deterministic_and_not_random(image: torch.Tensor) -> None:
    """Features are deterministic and not those of a random network."""
    torch.manual_seed(0)
    random = texnet(weights=False)(image)
    for one, two, other in zip(texnet()(image), texnet()(image), random, strict=True):
        assert torch.equal(one, two)
        assert one.isfinite().all()
        assert not torch.allclose(one, other, rtol=0.1, atol=0.1)


def test_a_size_without_shipped_weights_says_how_to_get_them() -> None:
    with pytest.raises(WeightsError, match=r"train\.py --net texnet_m"):
        extractor("texnet_m", [8, 16])
    assert extractor("texnet_m", [8, 16], pretrained=False).channels == (96, 288)


def test_a_changed_value_is_noticed(tmp_path: Path) -> None:
    tensors, metadata = read_weights(SHIPPED)
    tensors["stem.layer.0.bias"] = tensors["stem.layer.0.bias"] + 1
    save_file(tensors, tmp_path / "w.safetensors", metadata)
    with pytest.raises(WeightsError, match="do not match the hash"):
        load_weights(TexNet(SMALL), tmp_path / "w.safetensors")


def test_an_absent_a_broken_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="do not exist"):
        load_weights(TexNet(SMALL), tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="not a readable"):
        load_weights(TexNet(SMALL), tmp_path / "broken.safetensors")
    foreign = {"weight": torch.zeros(3)}
    save_file(foreign, tmp_path / "foreign.safetensors", {"sha256": tensors_sha256(foreign)})
    with pytest.raises(WeightsError, match="do not belong to this size of texnet"):
        load_weights(TexNet(SMALL), tmp_path / "foreign.safetensors")


def test_features_choose_layers_by_stride_and_normalise(image: torch.Tensor) -> None:
    features = texnet_features("texnet_s", [8, "stage3"], None, True)
    assert (features.layers, features.channels, features.strides) == (("stage2", "stage3"), (64, 192), (8, 16))
    expected = texnet(stages=["stage2", "stage3"])(normalised(image))
    for map, other in zip(features(image), expected, strict=True):
        torch.testing.assert_close(map, other)
    same = texnet_features("texnet_s", [8, 16], str(SHIPPED), True)
    assert same.sha256 == features.sha256
    assert texnet_features("texnet_s", [8, 16], None, False).sha256 != features.sha256


def test_a_detector_of_an_earlier_network_is_refused(tmp_path: Path) -> None:
    """Version 3 had no smoothing, its tensors other names; read into this network they would give other maps."""
    fitted = PatchCore(coreset_sampling_ratio=0.05).fit(Parts(stripes(8, (64, 64), seed=0)))
    meta, tensors = read_saved(fitted.save(tmp_path / "new.safetensors"))
    meta.pop("seal")  # earlier files have none
    earlier = {name.replace("opening.layer", "first").replace(".layer", ""): value for name, value in tensors.items()}
    write_saved(tmp_path / "old.safetensors", meta, earlier)
    with pytest.raises(FormatError, match=r"first\.0.*differ. Fit it again"):
        PatchCore.load(tmp_path / "old.safetensors")
