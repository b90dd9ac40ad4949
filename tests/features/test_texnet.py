"""TexNet: its shapes, its shipped weights, and the tools that draw its images and train it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from blemish.errors import InputError, UnknownName, WeightsError
from blemish.features import texnet
from blemish.features.frozen import tensors_sha256
from blemish.features.texnet import CHANNELS, MEAN, STAGES, STD, STRIDES, TexNet, texnet_features, texnet_s

TOOLS = Path(__file__).parents[2] / "tools" / "texnet"
SHIPPED = Path(str(resources.files("blemish.features") / "weights" / "texnet_s.safetensors"))


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, ModuleType]]:
    """The scripts of tools/texnet, imported as they import each other."""
    names = ("painters", "recipes", "augment", "train", "contact_sheet", "evaluate")
    sys.path.insert(0, str(TOOLS))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(TOOLS))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def normalised(image: torch.Tensor) -> torch.Tensor:
    return (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


# --- architecture


def test_each_stage_has_its_channels_and_stride(image: torch.Tensor) -> None:
    for stage, map in zip(STAGES, texnet_s(weights=False)(image), strict=True):
        assert map.shape == (2, CHANNELS[stage], 64 // STRIDES[stage], 96 // STRIDES[stage])


def test_sides_that_no_stride_divides_are_rounded_up() -> None:
    for stage, map in zip(STAGES, texnet_s(weights=False)(torch.rand(1, 3, 61, 70)), strict=True):
        assert map.shape[2:] == (-(-61 // STRIDES[stage]), -(-70 // STRIDES[stage]))


def test_a_subset_of_stages_gives_the_same_maps_and_builds_nothing_deeper(image: torch.Tensor) -> None:
    every = dict(zip(STAGES, texnet_s()(image), strict=True))
    net = texnet_s(stages=("stage3", "stage2"))
    assert net.stages == ("stage2", "stage3")
    assert not hasattr(net, "stage4")
    for stage, map in zip(net.stages, net(image), strict=True):
        assert torch.equal(map, every[stage])


def test_unknown_and_no_stages_are_refused() -> None:
    with pytest.raises(UnknownName, match="stage2"):
        TexNet(("stage22",))
    with pytest.raises(InputError, match="at least one"):
        TexNet(())


# --- shipped weights


def test_the_shipped_file_is_small_complete_and_matches_its_hash() -> None:
    assert SHIPPED.stat().st_size <= 4_000_000
    tensors, metadata = texnet.read_weights(SHIPPED)
    assert set(tensors) == set(texnet_s(weights=False).state_dict())
    assert {str(value.dtype) for value in tensors.values()} == {"torch.float16"}
    assert metadata["sha256"] == tensors_sha256(tensors)
    assert (metadata["name"], metadata["licence"]) == ("texnet_s", "Apache-2.0")
    assert metadata["version"]
    trained = json.loads(metadata["trained"])
    assert trained["steps"] > 0
    assert trained["recipes"] > 0


def test_loaded_weights_are_the_files_values_in_float32() -> None:
    tensors, _ = texnet.read_weights(SHIPPED)
    state = texnet_s().state_dict()
    for name, value in tensors.items():
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], value.float())


def test_features_are_deterministic_and_not_those_of_a_random_network(image: torch.Tensor) -> None:
    torch.manual_seed(0)
    random = texnet_s(weights=False)(image)
    for one, two, other in zip(texnet_s()(image), texnet_s()(image), random, strict=True):
        assert torch.equal(one, two)
        assert one.isfinite().all()
        assert not torch.allclose(one, other, rtol=0.1, atol=0.1)


def test_trained_features_tell_materials_apart_better_than_random_ones(tools: dict[str, ModuleType]) -> None:
    """Recipes that no training run of the defaults saw: is a piece's nearest neighbour of the same material?"""
    recipes = range(100_000, 100_024)
    pieces = np.concatenate([tools["recipes"].instances(r, 4, 0, 64) for r in recipes])
    # Grey, and of one mean and spread: colour and brightness alone would give the material away.
    grey = torch.from_numpy(pieces.astype(np.float32)).mean(3)
    grey = (grey - grey.mean((1, 2), keepdim=True)) / (grey.std((1, 2), keepdim=True) + 1)
    images = (grey[:, None].expand(-1, 3, -1, -1) * 0.15 + 0.5).clamp(0, 1)

    def hits(net: TexNet) -> float:
        with torch.no_grad():
            vectors = nn.functional.normalize(net(normalised(images))[0].mean((2, 3)))
        distance = torch.cdist(vectors, vectors).fill_diagonal_(9)
        same = torch.arange(len(images)) // 4
        return float((same[distance.argmin(1)] == same).float().mean())

    torch.manual_seed(0)
    trained, random = hits(texnet_s(stages=["stage3"])), hits(texnet_s(weights=False, stages=["stage3"]))
    assert trained > random + 0.05, (trained, random)
    assert trained > 0.6, trained


def test_a_changed_value_is_noticed(tmp_path: Path) -> None:
    tensors, metadata = texnet.read_weights(SHIPPED)
    tensors["stem.0.bias"] = tensors["stem.0.bias"] + 1
    save_file(tensors, tmp_path / "w.safetensors", metadata)
    with pytest.raises(WeightsError, match="do not match the hash"):
        texnet.load_weights(TexNet(), tmp_path / "w.safetensors")


def test_an_absent_a_broken_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="do not exist"):
        texnet.load_weights(TexNet(), tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="not a readable"):
        texnet.load_weights(TexNet(), tmp_path / "broken.safetensors")
    foreign = {"weight": torch.zeros(3)}
    save_file(foreign, tmp_path / "foreign.safetensors", {"sha256": tensors_sha256(foreign)})
    with pytest.raises(WeightsError, match="do not belong to texnet_s"):
        texnet.load_weights(TexNet(), tmp_path / "foreign.safetensors")


def test_features_choose_layers_by_stride_and_normalise(image: torch.Tensor) -> None:
    features = texnet_features("texnet_s", [8, "stage3"], None, True)
    assert (features.layers, features.channels, features.strides) == (("stage2", "stage3"), (96, 160), (8, 16))
    expected = texnet_s(stages=["stage2", "stage3"])(normalised(image))
    for map, other in zip(features(image), expected, strict=True):
        torch.testing.assert_close(map, other)
    same = texnet_features("texnet_s", [8, 16], str(SHIPPED), True)
    assert same.sha256 == features.sha256
    assert texnet_features("texnet_s", [8, 16], None, False).sha256 != features.sha256


# --- the generator


def test_a_seed_decides_every_pixel_and_another_seed_other_pieces(tools: dict[str, ModuleType]) -> None:
    instances = tools["recipes"].instances
    for recipe in (0, 7, 18):
        one, two, other = (instances(recipe, 2, seed, 48) for seed in (3, 3, 4))
        assert one.shape == (2, 48, 48, 3)
        assert one.dtype == np.uint8
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)
        assert not np.array_equal(one[0], one[1])


def test_every_painter_fills_its_range_and_draws_from_fixed_alike_for_all_pieces(tools: dict[str, ModuleType]) -> None:
    for painter in tools["painters"].PAINTERS:
        one, two = (painter(np.random.default_rng(recipe), np.random.default_rng(9), 72) for recipe in (1, 2))
        assert not np.array_equal(one, two), f"{painter.__name__}: the recipe decides nothing"
        spread = 0.0
        for recipe in range(6):
            after = []
            for piece in (1, 2):
                fixed = np.random.default_rng(recipe)
                field = painter(fixed, np.random.default_rng(piece), 72)
                assert field.shape == (72, 72)
                assert field.dtype == np.float32
                assert -1e-5 <= field.min() <= field.max() <= 1 + 1e-5, painter.__name__
                after.append(fixed.random())
                spread = max(spread, float(field.std()))
            assert after[0] == after[1], f"{painter.__name__}: what the material is depends on the piece"
        assert spread > 0.1, painter.__name__


def test_pieces_of_one_recipe_are_more_alike_than_pieces_of_others(tools: dict[str, ModuleType]) -> None:
    """Power spectra and mean colours: a recipe that drew anew at each call would fail this."""
    pieces = np.stack([tools["recipes"].instances(recipe, 4, 0, 64) for recipe in range(12)]).astype(np.float32)
    grey = pieces.mean(-1)
    spectra = np.log1p(np.abs(np.fft.rfft2(grey - grey.mean((2, 3), keepdims=True)))).reshape(12, 4, -1)
    vectors = np.concatenate([spectra / spectra.std(), pieces.mean((2, 3)) / 10], axis=-1).reshape(48, -1)
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1) + 1e9 * np.eye(48)
    owner = np.arange(48) // 4
    assert (owner[distance.argmin(1)] == owner).mean() > 0.8


def test_the_cache_is_the_same_for_one_and_two_workers(tools: dict[str, ModuleType], tmp_path: Path) -> None:
    build = tools["recipes"].build_cache
    build(tmp_path / "one.npy", 5, 2, 0, 32, 1)
    build(tmp_path / "two.npy", 5, 2, 0, 32, 2)
    one = np.load(tmp_path / "one.npy")
    assert one.shape == (5, 2, 32, 32, 3)
    assert np.array_equal(one, np.load(tmp_path / "two.npy"))
    assert np.array_equal(one[3], tools["recipes"].instances(3, 2, 0, 32))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.npy", "two.npy"]


def test_the_contact_sheet_shows_each_piece_in_its_place(tools: dict[str, ModuleType]) -> None:
    page = tools["contact_sheet"].sheet(first=2, recipes=2, pieces=3, size=32, seed=0, gap=2)
    assert page.shape == (70, 104, 3)
    assert np.array_equal(page[36:68, 70:102], tools["recipes"].instances(3, 3, 0, 32)[2])
    assert (page[34:36] == 255).all()


# --- training


@pytest.fixture(scope="module")
def images(tools: dict[str, ModuleType]) -> np.ndarray:
    return np.stack([tools["recipes"].instances(recipe, 4, 0, 36) for recipe in range(4)])


@pytest.fixture
def plan(tools: dict[str, ModuleType]) -> object:
    return tools["train"].Plan(recipes=4, pieces=4, size=36, crop=32, batch=16, rate=0.1)


def test_crops_are_cut_from_the_labelled_material(tools: dict[str, ModuleType]) -> None:
    flat = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None, None, None], (5, 3, 20, 20, 3))
    pixels, label = tools["augment"].crops(flat, np.random.default_rng(0), 40, 16)
    assert pixels.shape == (40, 3, 16, 16)
    assert torch.equal(pixels[:, 0, 0, 0].long(), label)
    assert len(set(label.tolist())) == 5


def test_defacing_changes_pixels_inside_the_mask_only_and_half_of_the_images(tools: dict[str, ModuleType]) -> None:
    image = torch.rand(64, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    spoilt, mask = tools["augment"].deface(image, np.random.default_rng(0))
    changed = (spoilt != image).any(1, keepdim=True)
    assert not (changed & (mask == 0)).any()
    assert changed[mask > 0].float().mean() > 0.95
    assert torch.equal(spoilt[32:], image[32:])
    assert (mask[:32].sum((1, 2, 3)) > 0).float().mean() > 0.9
    assert spoilt.min() >= 0
    assert spoilt.max() <= 1


def test_a_few_steps_lower_the_loss(
    tools: dict[str, ModuleType], images: np.ndarray, plan: object, tmp_path: Path
) -> None:
    train, seen = tools["train"], []
    train.train(images, plan, train.Clock(total=24), tmp_path, 100, lambda step, values: seen.append(values["loss"]))
    assert len(seen) == 24
    assert np.mean(seen[-4:]) < 0.85 * np.mean(seen[:4])


def test_a_killed_run_continues_to_the_very_same_weights(
    tools: dict[str, ModuleType], images: np.ndarray, plan: object, tmp_path: Path
) -> None:
    train = tools["train"]
    whole = train.train(images, plan, train.Clock(total=6), tmp_path / "whole", 2)

    def kill(step: int, values: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(images, plan, train.Clock(total=6), tmp_path / "killed", 2, kill)
    steps: list[int] = []
    again = train.train(
        images, plan, train.Clock(total=6), tmp_path / "killed", 2, lambda step, values: steps.append(step)
    )
    assert steps == [5, 6]  # the last checkpoint was written after step 4
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert len((tmp_path / "killed" / "log.csv").read_text().splitlines()) == 2  # a heading and the last step
    with pytest.raises(SystemExit, match="another --work"):
        train.train(images, train.Plan(), train.Clock(total=9), tmp_path / "killed")


def test_a_continued_log_holds_each_step_once(tools: dict[str, ModuleType], tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for step in (50, 100, 150):
        tools["train"].log(log, {"loss": 0.5, "step": step})
    tools["train"].shorten(log, 100)
    tools["train"].log(log, {"loss": 0.25, "step": 150})
    assert log.read_text().split() == ["loss,step", "0.5,50", "0.5,100", "0.25,150"]


def test_minutes_and_the_steps_they_came_to_give_the_same_schedule(tools: dict[str, ModuleType]) -> None:
    timed = tools["train"].Clock(minutes=1.0)
    rates = []
    while not timed.done:
        rates.append(timed.factor())
        timed.step, timed.seconds = timed.step + 1, timed.seconds + 0.1
        timed.settle()
    assert timed.total == 600
    assert timed.seconds == pytest.approx(60)
    counted = tools["train"].Clock(total=timed.total)
    again = []
    while not counted.done:
        again.append(counted.factor())
        counted.step += 1
    assert rates == again
    assert rates[0] == pytest.approx(1 / 200)
    assert max(rates) == 1
    assert 0 < rates[-1] < 0.01


def test_folding_and_export_keep_the_function(
    tools: dict[str, ModuleType], images: np.ndarray, plan: object, tmp_path: Path
) -> None:
    train = tools["train"]
    learner = train.train(images, plan, train.Clock(total=3), tmp_path, 100)
    image = torch.rand(2, 3, 40, 40)
    with torch.no_grad():
        expected = learner.net(image)
        folded = train.fold(learner.net)
        for map, other in zip(folded(image), expected, strict=True):
            torch.testing.assert_close(map, other, rtol=1e-3, atol=1e-3)
        train.export(learner, tmp_path / "w.safetensors", "9", {"steps": 3})
        net = TexNet().eval()
        texnet.load_weights(net, tmp_path / "w.safetensors")
        for map, other in zip(net(image), expected, strict=True):
            assert (map - other).abs().mean() < 0.01 * other.abs().mean()
    assert texnet.read_weights(tmp_path / "w.safetensors")[1]["version"] == "9"


# --- the harness


def test_the_harness_reads_a_folder_and_finds_an_obvious_defect(tools: dict[str, ModuleType], tmp_path: Path) -> None:
    import cv2

    rng = np.random.default_rng(0)
    for split, kind, count in (("train", "good", 4), ("test", "good", 3), ("test", "hole", 3)):
        for i in range(count):
            picture = rng.integers(90, 120, (64, 64, 3), dtype=np.uint8)
            mask = np.zeros((64, 64), np.uint8)
            if kind == "hole":
                picture[20:36, 20:36], mask[20:36, 20:36] = 255, 255
                cv2.imwrite(str(_made(tmp_path / "ground_truth" / kind) / f"{i}_mask.png"), mask)
            cv2.imwrite(str(_made(tmp_path / split / kind) / f"{i}.png"), picture)
    train, test = tools["evaluate"].mvtec(tmp_path)
    assert (len(train), len(test), sum(s.defective for s in test)) == (4, 6, 3)
    with torch.inference_mode():
        features = texnet_features("texnet_s", [8, 16], None, True)
        image, pixel = tools["evaluate"].measure(features, train, test, 64, 100, 4, 0)
    assert image == 1
    assert pixel > 0.9


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
