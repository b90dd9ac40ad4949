"""Frozen networks: any timm backbone by name, its layers, its weights from a file, and no silent random weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from blemish.core.errors import InputError, UnknownName, WeightsError
from blemish.features import extractor, frozen
from blemish.features.timm import timm_package

REAL = Path(__file__).resolve().parents[3] / "shared" / "weights" / "mobilenetv2_100.safetensors"


def test_layers_by_name_and_by_stride_have_the_published_shapes() -> None:
    features = extractor("resnet18", ["layer1", "layer2", "layer3"], pretrained=False)
    maps = features(torch.rand(1, 3, 256, 256))
    assert [tuple(m.shape) for m in maps] == [(1, 64, 64, 64), (1, 128, 32, 32), (1, 256, 16, 16)]
    assert features.channels == (64, 128, 256)
    assert features.strides == (4, 8, 16)
    by_stride = extractor("resnet18", [16, 4, 8], pretrained=False)
    assert by_stride.layers == ("layer1", "layer2", "layer3")
    assert by_stride.sha256 == features.sha256


def test_the_network_owns_its_normalisation() -> None:
    features = extractor("resnet18", ["layer1"], pretrained=False)
    image = torch.rand(1, 3, 64, 64)
    by_hand = (image - features.mean) / features.std
    torch.testing.assert_close(features(image)[0], features.net(by_hand)[0])
    assert features.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_frozen_whatever_is_asked() -> None:
    features = extractor("texnet_s", [8])
    features.train()
    assert not features.training
    assert not any(m.training for m in features.modules())
    assert not any(p.requires_grad for p in features.parameters())


def test_random_weights_are_the_same_and_hashes_tell_apart() -> None:
    """Random weights are always the same and the hash tells weights apart."""
    one, two = (extractor("texnet_s", [8], pretrained=False) for _ in range(2))
    assert one.sha256 == two.sha256 != extractor("texnet_s", [8]).sha256


@pytest.mark.parametrize("backbone", ["texnet_s", "resnet18"])
def test_weights_and_random_weights_exclude_each_other(backbone) -> None:
    with pytest.raises(InputError, match=r"weights is 'mine.safetensors', but pretrained=False"):
        extractor(backbone, [8], weights="mine.safetensors", pretrained=False)


@pytest.mark.parametrize("backbone", ["resnet_18", "wide_resnet50", "texnet", "mobilenetv2"])
def test_unknown_backbones_are_suggested(backbone) -> None:
    with pytest.raises(UnknownName, match="Did you mean '"):
        extractor(backbone, [8], pretrained=False)


@pytest.mark.parametrize("layers", [["layer9"], [7], ["layer1", "blocks.2"]])
def test_unknown_layers_list_those_that_exist(layers) -> None:
    with pytest.raises(UnknownName, match=r"layer1 \(stride 4\), layer2 \(stride 8\)"):
        extractor("resnet18", layers, pretrained=False)


@pytest.mark.parametrize("layers", [[], ["layer1", "layer1"], ["layer1", 4]])
def test_no_layer_and_the_same_twice_are_refused(layers) -> None:
    with pytest.raises(InputError, match="at least one, and none twice"):
        extractor("resnet18", layers, pretrained=False)


def test_without_network_and_file_the_error_says_the_ways_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(
        WeightsError, match=r"\(1\) connect once.*\(2\) give a local file.*\(3\) use the embedded"
    ) as caught:
        extractor("resnet18", ["layer2"])
    assert "pretrained=False" in str(caught.value)


UNREACHABLE = """
import logging, time
from huggingface_hub import constants, hf_hub_download
from blemish.features import extractor
from blemish.core.errors import WeightsError
log, waited = logging.getLogger("huggingface_hub"), []
before, time.sleep = (log.level, constants.HF_HUB_OFFLINE), waited.append
try:
    extractor("resnet18", ["layer2"])
except WeightsError as error:
    print(sum(waited), (log.level, constants.HF_HUB_OFFLINE) == before, "connect once" in str(error))
"""


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_tried_once_and_quietly(tmp_path) -> None:
    """The hub's own library waits for a minute between its tries, and says a dozen times that it does."""
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", UNREACHABLE], env={**os.environ, **closed}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "True", "True"]
    assert done.stderr == ""


def test_a_local_file_must_hold_every_weight_of_the_network(tmp_path) -> None:
    timm = timm_package()
    whole = timm.create_model("resnet18", pretrained=False).state_dict()
    whole = {name: torch.randn_like(v) if v.is_floating_point() else v for name, v in whole.items()}
    save_file(whole, tmp_path / "whole.safetensors")
    features = extractor("resnet18", ["layer1"], weights=str(tmp_path / "whole.safetensors"))
    torch.testing.assert_close(features.net.state_dict()["conv1.weight"], whole["conv1.weight"])
    save_file({k: v for k, v in whole.items() if k != "layer1.0.conv1.weight"}, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match=r"1 of 120 tensors are absent .* layer1\.0\.conv1\.weight"):
        extractor("resnet18", ["layer1"], weights=str(tmp_path / "part.safetensors"))
    with pytest.raises(WeightsError, match="do not belong to mobilenetv2_100"):
        extractor("mobilenetv2_100", [8], weights=str(tmp_path / "whole.safetensors"))


def test_a_deeper_sibling_is_refused(tmp_path) -> None:
    """A deeper sibling holds all that is needed and is refused."""
    deeper = timm_package().create_model("resnet34", pretrained=False).state_dict()
    save_file(deeper, tmp_path / "resnet34.safetensors")
    extractor("resnet34", ["layer1"], weights=str(tmp_path / "resnet34.safetensors"))
    with pytest.raises(WeightsError, match=r"another network than resnet18, which has no layer\d\.\d"):
        extractor("resnet18", ["layer1"], weights=str(tmp_path / "resnet34.safetensors"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.safetensors", None, "does not exist"),
        ("a.pth", b"x", "only .safetensors files are read"),
        ("broken.safetensors", b"broken", "not a readable safetensors file"),
    ],
)
def test_unusable_files(tmp_path, name, content, message) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        extractor("resnet18", ["layer1"], weights=str(tmp_path / name))


@pytest.mark.skipif(not REAL.exists(), reason="the shared folder with real weights is absent")
def test_real_weights_from_a_file_agree_with_timms_own_loading() -> None:
    timm = timm_package()
    features = extractor("mobilenetv2_100", [8, 16], weights=str(REAL))
    whole = timm.create_model("mobilenetv2_100", num_classes=0, pretrained=False).eval()
    whole.load_state_dict(load_file(REAL), strict=False)
    image = torch.rand(1, 3, 128, 128)
    x = whole.bn1(whole.conv_stem((image - features.mean) / features.std))
    for i, block in enumerate(whole.blocks[:5]):
        x = block(x)
        if i in (2, 4):
            torch.testing.assert_close(features(image)[0 if i == 2 else 1], x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backbone", ["texnet_s", "resnet18"])
def test_a_few_images_at_a_time_equal_all_at_once(backbone, monkeypatch) -> None:
    """On the processor a few images at a time give what all at once give."""
    features = extractor(backbone, [8, 16], pretrained=False)
    images = torch.rand(5, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    passes, network = [], features.net.forward
    monkeypatch.setattr(features.net, "forward", lambda image: (passes.append(len(image)), network(image))[1])
    monkeypatch.setattr(frozen, "TOGETHER", 2 * 64 * 96)
    with torch.inference_mode():
        maps = features(images)
        assert passes == [2, 2, 1]
        whole = network((images - features.mean) / features.std)
        monkeypatch.setattr(frozen, "TOGETHER", 1)  # larger images still go one by one
        one_by_one = features(images)
    for found, single, expected in zip(maps, one_by_one, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(single, expected, rtol=1e-4, atol=1e-5)
