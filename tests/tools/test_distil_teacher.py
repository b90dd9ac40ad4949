"""The script that makes EfficientAD's teacher, in a few steps and at a small size."""

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from blemish.core.errors import WeightsError
from blemish.models import EfficientAD
from parts import stripes, write_png

SCRIPT = Path(__file__).parents[2] / "tools" / "distil_teacher.py"


@pytest.fixture(scope="module")
def main():
    spec = importlib.util.spec_from_file_location("distil_teacher", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def make(main, out: Path, *more: str) -> dict[str, torch.Tensor]:
    small = ["--channels", "24", "--width", "0.125", "--side", "64", "--batch", "2", "--steps", "3", "--device", "cpu"]
    main(["--out", str(out), *small, *more])
    with safe_open(out, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_what_it_writes_efficientad_takes(main, tmp_path, capsys) -> None:
    tensors = make(main, tmp_path / "one.safetensors")
    assert "mean squared error" in capsys.readouterr().out
    detector = EfficientAD(width=0.125, channels=24, autoencoder_side=32, teacher=str(tmp_path / "one.safetensors"))
    assert all(torch.equal(value, tensors[name]) for name, value in detector.pdn.state_dict().items())
    with pytest.raises(WeightsError, match="not a PDN"):
        EfficientAD(teacher=str(tmp_path / "one.safetensors"))
    with safe_open(tmp_path / "one.safetensors", framework="pt") as file:
        about = file.metadata()
    assert (about["backbone"], about["size"], about["pictures"]) == ("texnet_s", "s", "None")
    assert len(about["backbone_sha256"]) == 64


def test_seed_backbone_and_pictures_decide_the_teacher(main, tmp_path) -> None:
    write_png(tmp_path / "photographs" / "one.png", stripes(1, (90, 80), seed=0)[0])
    key = "8.weight"
    one = make(main, tmp_path / "1.safetensors")[key]
    assert torch.equal(make(main, tmp_path / "2.safetensors")[key], one)
    for more in (
        ["--seed", "1"],
        ["--pictures", str(tmp_path / "photographs")],
        ["--backbone", "resnet18", "--random", "--layers", "layer2", "layer3"],
    ):
        assert not torch.equal(make(main, tmp_path / "3.safetensors", *more)[key], one), more
