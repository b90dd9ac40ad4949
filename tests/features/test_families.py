"""Every family of backbones through one door: maps with channels second, blocks from either end, sizes that are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tests.parts import Parts, stripes
from torch import nn

from blemish.core.errors import InputError, UnknownName, WeightsError
from blemish.features import extractor, weights
from blemish.features.texnet import texnet_features
from blemish.imaging.images import Imaging
from blemish.inference.inspector import Inspector
from blemish.inference.loading import load
from blemish.models import PaDiM, PatchCore

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FAMILIES = {
    "test_resnet": (64, "layer2"),
    "test_efficientnet": (64, "blocks.2"),
    "test_convnext": (64, "stages.1"),
    "mobilenetv2_100": (64, "blocks.2"),
    "test_vit": (64, "blocks.2"),
    "vit_small_patch14_dinov2": (70, "blocks.1"),
    "vit_small_patch14_reg4_dinov2": (70, "blocks.1"),
    "vit_small_patch16_dinov3": (64, "blocks.1"),
    "vit_xsmall_patch16_clip_224": (64, "blocks.1"),
    "swin_tiny_patch4_window7_224": (64, "layers.1"),
    "test_maxvit": (160, "stages.1"),
}
"""A small member of each family, a side of images that it takes, and a layer in the middle."""


@pytest.fixture(params=FAMILIES)
def family(request):
    side, layer = FAMILIES[request.param]
    return request.param, side, layer


def layers_of(name: str) -> list[str]:
    with pytest.raises(UnknownName) as error:
        extractor(name, ("none",), pretrained=False)
    return [each.split(" (")[0] for each in str(error.value).split("strides: ")[1].rstrip(".").split(", ")]


@pytest.mark.slow
def test_every_block_gives_a_map_of_the_promised_shape(family) -> None:
    name, side, _ = family
    names = layers_of(name)
    features = extractor(name, names, pretrained=False)
    image = torch.rand(2, 3, side, 2 * side)
    with torch.inference_mode():
        maps, tokens, vector = features(image), features.tokens(image), features.vector(image)
    assert len(maps) == len(names) == len(tokens)
    for map, token, channels, stride in zip(maps, tokens, features.channels, features.strides, strict=True):
        assert map.shape == (2, channels, side // stride, 2 * side // stride)
        torch.testing.assert_close(token[:, 1], map.flatten(2)[:, :, 1])
    assert vector.ndim == 2
    assert len(vector) == 2
    assert not torch.equal(vector[0], vector[1])
    blocks = [each for each in names if each != "norm"]
    for number in range(1, len(blocks) + 1):
        assert extractor(name, (-number,), pretrained=False).layers == (blocks[-number],)
        if len(blocks) > 6 and number == 2:
            break  # a deep one of equal blocks is made anew each time


@pytest.mark.slow
def test_a_map_answers_for_its_place(family) -> None:
    """A map that is turned or torn would answer elsewhere: what changes in a corner of the image changes that corner."""
    name, side, layer = family
    features = extractor(name, (layer,), pretrained=False)
    image = torch.full((1, 3, side, 2 * side), 0.5)
    spoilt = image.clone()
    stride = features.strides[0]
    spoilt[..., : 2 * stride, -2 * stride :] = torch.rand(3, 2 * stride, 2 * stride)
    with torch.inference_mode():
        change = (features(spoilt)[0] - features(image)[0]).norm(dim=1)[0]
    height, width = change.shape
    assert change[: height // 2, width // 2 :].mean() > change[height // 2 :, : width // 2].mean()
    assert change[: height // 2, width // 2 :].mean() > change.mean()


@pytest.mark.slow
@pytest.mark.parametrize("method", [PatchCore, PaDiM])
def test_memory_and_gaussians_work_on_it(family, method, tmp_path) -> None:
    """Fit, score, save, load and export."""
    pytest.importorskip("onnx")
    from blemish.export import export

    name, side, layer = family
    made = {"coreset_sampling_ratio": 0.5} if method is PatchCore else {"dims": 8}
    detector = method(backbone=name, layers=(layer,), pretrained=False, **made)
    detector.fit(Parts(stripes(12, (side, side), seed=0)))
    inspector = Inspector(detector, Imaging(size=(side, side)))
    image = stripes(1, (side, side), seed=5)[0].permute(1, 2, 0).numpy()
    own = inspector.inspect(image)
    assert np.isfinite(own.score)
    read = load(inspector.save(tmp_path / "model.safetensors"))
    assert read.inspect(image).score == own.score
    assert export(inspector, tmp_path / "model.onnx", images=[image]).passed


def test_a_swin_is_turned_not_read_sideways() -> None:
    """Its own maps are (B, h, w, C); PatchCore used to fit nonsense on them."""
    features = extractor("swin_tiny_patch4_window7_224", (8,), pretrained=False)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        (map,) = features(image)
        model = features.net.model
        own = model.layers[1](model.layers[0](model.patch_embed((image - features.mean) / features.std)))
    assert own.shape == (1, 8, 12, 192)
    torch.testing.assert_close(map, own.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("vit_small_patch14_dinov2", (256, 256), r"patches of 14 pixels, and 256 x 256.*image_size=252, 266"),
        ("test_vit", (100, 96), r"patches of 16 pixels, and 100 x 96"),
        ("test_maxvit", (64, 100), r"does not take images of 64 x 100 pixels\. It was trained on 160 x 160"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_before_an_image(name, size, said) -> None:
    features = extractor(name, (-1,), pretrained=False)
    with pytest.raises(InputError, match=said):
        features.check_size(*size)
    with pytest.raises(InputError, match=said):
        features(torch.zeros(1, 3, *size))
    with pytest.raises(InputError, match=said):
        PatchCore(backbone=name, layers=(-1,), pretrained=False).check_size(*size)


def test_dinov2_takes_any_multiple_of_its_patch() -> None:
    extractor("vit_small_patch14_dinov2", (-1,), pretrained=False).check_size(448, 448)


def test_a_record_says_what_a_network_is() -> None:
    record = extractor("vit_small_patch14_dinov2", (-1,), pretrained=False).record
    assert record["input_size"] == [518, 518]
    assert (record["patch"], record["interpolation"], record["license"]) == (14, "bicubic", "apache-2.0")
    assert record["mean"] == [0.485, 0.456, 0.406]
    assert (record["source"], len(record["sha256"])) == ("random", 64)
    assert texnet_features("texnet_s", (8,), None, True).record["source"] == "embedded"
    json.dumps(record)


class Strides(nn.Module):
    """An own network: a map, a map with channels last, tokens with one before them, and a vector."""

    mean, std = (0.1, 0.2, 0.3), (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 8, 8), nn.Conv2d(5, 7, 2, 2)
        self.turned, self.tokens, self.pooled = Turned(), Tokens(), Pooled()

    def forward(self, image):
        map = self.second(self.first(image))
        self.turned(map)
        self.tokens(map)
        return self.pooled(map)


class Turned(nn.Module):
    def forward(self, map):
        return map.permute(0, 2, 3, 1)


class Tokens(nn.Module):
    def forward(self, map):
        tokens = map.flatten(2).transpose(1, 2)
        return torch.cat([tokens[:, :1] * 0, tokens], dim=1)


class Pooled(nn.Module):
    def forward(self, map):
        return map.mean((2, 3))


def strides() -> nn.Module:
    torch.manual_seed(0)
    return Strides()


def test_an_own_module_is_a_backbone_whatever_its_layout() -> None:
    features = extractor(strides(), ("second", "turned", "tokens"))
    assert (features.channels, features.strides) == ((7, 7, 7), (16, 16, 16))
    image = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        plain, turned, tokens = features(image)
        expected = features.net.module.second(features.net.module.first((image - features.mean) / features.std))
    for map in (plain, turned, tokens):
        torch.testing.assert_close(map, expected)
    assert features.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert extractor(strides(), (8, -1)).layers == ("first", "tokens")
    with pytest.raises(InputError, match="output of pooled of Strides is no map"):
        extractor(strides(), ("pooled",))
    with pytest.raises(UnknownName, match="Did you mean 'second'"):
        extractor(strides(), ("secnd",))
    with pytest.raises(InputError, match="does not take images"):
        extractor(nn.Sequential(nn.Linear(3, 4)), ("0",))
    with pytest.raises(InputError, match="brings its weights itself"):
        extractor(strides(), ("second",), weights="x.safetensors")


def test_an_own_module_by_reference_is_saved_and_loaded(tmp_path, monkeypatch) -> None:
    """What a file names is imported only if somebody has imported it."""
    reference = f"{__name__}:strides"
    detector = PatchCore(backbone=reference, layers=("second",), coreset_sampling_ratio=0.5)
    detector.fit(Parts(stripes(12, (64, 64), seed=0)))
    path = detector.save(tmp_path / "own.safetensors")
    image = stripes(1, (64, 64), seed=3)
    with torch.inference_mode():
        assert torch.equal(PatchCore.load(path)(image).image, detector.eval()(image).image)
    monkeypatch.delitem(__import__("sys").modules, __name__)
    with pytest.raises(WeightsError, match="names a backbone of another package"):
        PatchCore.load(path)
    with pytest.raises(InputError, match="cannot be made"):
        extractor("tests.parts:nothing", ("0",))


@pytest.fixture
def large(tmp_path, monkeypatch):
    """PatchCore on a network whose file is above the limit, saved without it; and the network's file."""
    from safetensors.torch import save_file

    monkeypatch.setattr("blemish.features.frozen.LIMIT", 1000)
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    torch.manual_seed(3)
    timm = pytest.importorskip("blemish.features.timm").timm_package()
    place = tmp_path / "hub" / "vit.safetensors"
    place.parent.mkdir()
    save_file(timm.create_model("test_vit", num_classes=0).state_dict(), place)
    detector = PatchCore(backbone="test_vit", layers=(-2,), weights=str(place), coreset_sampling_ratio=0.5)
    detector.fit(Parts(stripes(12, (64, 64), seed=0)))
    return Inspector(detector, Imaging(size=(64, 64))), place, tmp_path / "model.safetensors"


def test_large_weights_are_named_and_found_again(large, monkeypatch) -> None:
    inspector, place, model = large
    inspector.save(model)
    assert model.stat().st_size < place.stat().st_size / 2
    image = stripes(1, (64, 64), seed=3)[0].permute(1, 2, 0).numpy()
    own = inspector.inspect(image).score
    moved = place.rename(place.with_name("renamed.safetensors"))
    for given in (moved, moved.parent, str(moved.parent.parent)):
        assert load(model, weights=given).inspect(image).score == own
    monkeypatch.setenv(weights.VARIABLE, f"/nowhere:{moved.parent}")
    again = load(model)
    assert again.inspect(image).score == own
    assert load(again.save(model.with_name("again.safetensors"))).inspect(image).score == own
    whole = inspector.save(model.with_name("whole.safetensors"), embed=True) if moved.rename(place) else None
    assert whole.stat().st_size > place.stat().st_size
    place.unlink()
    assert load(whole).inspect(image).score == own


def test_weights_that_are_absent_or_others_are_refused(large) -> None:
    inspector, place, model = large
    inspector.save(model)
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    other = place.with_name("other.safetensors")
    other.write_bytes(content)
    place.unlink()
    with pytest.raises(WeightsError, match=r"does not hold the weights.*SHA-256 is .*, the model's test_vit"):
        load(model, weights=other)
    with pytest.raises(
        WeightsError, match=r"needs the weights of test_vit.*vit.safetensors of .*SHA-256 .*BLEMISH_WEIGHTS.*--embed"
    ):
        load(model)
    other.rename(place)
    with pytest.raises(WeightsError, match="has that name, but other weights"):
        load(model, weights=place.parent)
