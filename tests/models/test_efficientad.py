"""EfficientAD's losses, maps and marks against plain reckoning; its teacher against what it was taught."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from blemish.core.errors import InputError, WeightsError
from blemish.features import extractor
from blemish.features.distil import distil_teacher
from blemish.models import EfficientAD
from blemish.models.efficientad import hold_out
from blemish.ops.networks.patch_descriptor import patch_descriptor, patch_targets
from blemish.ops.textures import textures
from blemish.training.random_state import seeded
from parts import Parts, deface, stripes, write_png

TINY = {
    "width": 0.125,
    "channels": 24,
    "autoencoder_side": 32,
    "teacher_steps": 1,
    "teacher_pictures": 2,
    "border": "edge",
    "steps": 40,
    "lr": 0.004,
}
# The teacher is left nearly random here: a taught one, standardised on the good parts, ranks this task so well even beside
# an untrained student that nothing is left to gain. How much is gained beside a random teacher is the seed's luck.
SIZE = (64, 48)


@pytest.fixture(scope="module")
def fitted() -> EfficientAD:
    return EfficientAD(**{**TINY, "steps": 4}).fit(Parts(stripes(12, SIZE, seed=0)))


def as_imagenet(image: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (image - mean[:, None, None]) / std[:, None, None]


def slow_maps(detector: EfficientAD, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    plain = as_imagenet(image)
    teacher, said = detector.pdn(plain), detector.student(plain)
    whole = detector.autoencoder(plain, tuple(said.shape[2:]))
    first, second = torch.zeros(2, len(image), *said.shape[2:])
    for c in range(24):
        taught = (teacher[:, c] - detector.mean[c]) / detector.std[c]
        first += (taught - said[:, c]) ** 2 / 24
        second += (whole[:, c] - said[:, 24 + c]) ** 2 / 24
    return first, second


def test_the_published_sizes() -> None:
    for size, pdn, student in (("s", 2_694_144, 4_267_392), ("m", 8_026_624, 11_615_488)):
        detector = EfficientAD(size=size)
        parts = [sum(p.numel() for p in m.parameters()) for m in (detector.pdn, detector.student, detector.autoencoder)]
        assert parts == [pdn, student, 1_096_320]
        assert f"{sum(parts):,}".replace(",", " ") in (EfficientAD.__doc__ or "")


def test_marks_are_the_quantiles_of_the_images_held_back(fitted) -> None:
    _, held = hold_out(Parts(stripes(12, SIZE, seed=0)), 0.1)
    images = torch.cat([batch.image for batch in held])
    assert len(images) == 1
    with torch.inference_mode():
        found = [np.quantile(map.numpy(), [0.9, 0.995]) for map in slow_maps(fitted, images)]
    np.testing.assert_allclose(fitted.marks.numpy(), found, rtol=1e-3)


@pytest.mark.parametrize("border", ["zeros", "edge"])
def test_score_and_map_are_means_on_their_scales(fitted, border) -> None:
    """Score and map are the mean of both maps on their scales."""
    image = deface(stripes(2, SIZE, seed=3), 0)[0]
    fitted.border = border
    with torch.inference_mode():
        score, map = fitted(image)[:2]
        grids = [m.numpy() for m in slow_maps(fitted, image)]
    (a, b), (c, d) = fitted.marks.numpy()
    grid = 0.5 * 0.1 * (grids[0] - a) / (b - a) + 0.5 * 0.1 * (grids[1] - c) / (d - c)
    padded = np.stack([np.pad(g, 4, mode="edge" if border == "edge" else "constant") for g in grid])
    grown = F.interpolate(torch.from_numpy(padded)[:, None], SIZE, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(map, grown.float(), rtol=1e-3, atol=1e-3)
    assert score.tolist() == pytest.approx(grid.max((1, 2)).tolist(), rel=1e-3)


def test_the_loss_is_the_sum_of_four(fitted) -> None:
    """With a jitter that changes nothing (grey images keep their saturation) every term can be reckoned."""
    image = torch.full((1, 3, 64, 48), 0.5)
    image[..., 20:] = 0.2
    other = stripes(1, SIZE, seed=1)
    with seeded(next(seed for seed in range(99) if draws(seed))), torch.inference_mode():
        found = float(fitted.loss(image, lambda count, size: other[:count]))
    with torch.inference_mode():
        plain = as_imagenet(image)
        taught = (fitted.pdn(plain) - fitted.mean[:, None, None]) / fitted.std[:, None, None]
        said = fitted.student(plain)
        whole = fitted.autoencoder(plain, tuple(said.shape[2:]))
        squared = np.sort(((taught - said[:, :24]) ** 2).flatten().numpy())
        hard = squared[squared >= np.quantile(squared, 0.999)].mean()
        penalty = float((fitted.student(as_imagenet(other))[:, :24] ** 2).mean())
        both = float(((taught - whole) ** 2).mean() + ((whole - said[:, 24:]) ** 2).mean())
    assert found == pytest.approx(hard + penalty + both, rel=1e-4)


def draws(seed: int) -> bool:
    """Whether a seed makes `jitter_one` change the saturation and `sometimes_grey` leave the colours, as in the loss."""
    with seeded(seed):
        saturation = int(torch.randint(3, (1,))) == 2
        torch.rand(1)
        return saturation and float(torch.rand(1)) >= 0.3


def test_only_student_and_autoencoder_learn_from_the_loss(fitted) -> None:
    fitted.zero_grad()
    fitted.loss(stripes(2, SIZE, seed=3), textures).backward()
    assert all(p.grad is None and not p.requires_grad for p in fitted.pdn.parameters())
    assert all(p.grad is not None for part in (fitted.student, fitted.autoencoder) for p in part.parameters())


def test_the_teacher_is_standardised_on_what_is_learned_from(fitted) -> None:
    learn, _ = hold_out(Parts(stripes(12, SIZE, seed=0)), 0.1)
    with torch.inference_mode():
        answers = torch.cat([fitted.taught(as_imagenet(batch.image)) for batch in learn])
    assert len(answers) == 11
    torch.testing.assert_close(answers.mean((0, 2, 3)), torch.zeros(24), rtol=0, atol=1e-3)
    torch.testing.assert_close(answers.std((0, 2, 3), correction=0), torch.ones(24), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_distilling_comes_nearer_to_the_backbone() -> None:
    backbone = extractor("texnet_s", [8, 16])
    good = stripes(8, SIZE, seed=0)
    with seeded(0):
        pdn = patch_descriptor("s", 24, 0.125)
        losses = distil_teacher(pdn, backbone, Parts(good), steps=40, pictures=2, lr=0.003)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert not any(p.requires_grad for p in backbone.parameters())
    image = stripes(4, SIZE, seed=5)
    with torch.inference_mode():
        maps = backbone(F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False))
        target = patch_targets(maps, 24, (8, 4)).transpose(0, 1).flatten(1)
        said = pdn(as_imagenet(image)).transpose(0, 1).flatten(1)
    together = [float(torch.corrcoef(torch.stack([a, b]))[0, 1]) for a, b in zip(target, said, strict=True)]
    assert np.mean(together) > 0.3, "it answers as the backbone does, channel by channel, on images it never saw"


def test_a_given_teacher_is_used_as_it_is_and_needed_once_only(tmp_path) -> None:
    file = tmp_path / "teacher.safetensors"
    with seeded(5):
        given = patch_descriptor("s", 24, 0.125).state_dict()
    save_file(given, file)
    detector = EfficientAD(**{**TINY, "steps": 1}, teacher=str(file), backbone="none such")
    detector.fit(Parts(stripes(8, SIZE, seed=0)))
    assert all(torch.equal(value, given[key]) for key, value in detector.pdn.state_dict().items())
    saved = detector.save(tmp_path / "detector.safetensors")
    file.unlink()
    image = stripes(1, SIZE, seed=1)
    with torch.inference_mode():
        assert torch.equal(EfficientAD.load(saved)(image).image, detector(image).image)


def test_another_networks_file_is_refused(tmp_path) -> None:
    save_file(patch_descriptor("m", 24, 0.125).state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match="not a PDN of this size"):
        EfficientAD(**TINY, teacher=str(tmp_path / "m.safetensors"))
    with pytest.raises(WeightsError, match="do not exist"):
        EfficientAD(**TINY, teacher=str(tmp_path / "none.safetensors"))


def test_photographs_are_taken_from_the_folder(tmp_path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        EfficientAD(**TINY, pictures=str(tmp_path)).fit(Parts(stripes(8, SIZE, seed=0)))
    write_png(tmp_path / "one.png", stripes(1, (80, 90), seed=1)[0])
    detector = EfficientAD(**{**TINY, "steps": 1, "teacher_steps": 1}, pictures=str(tmp_path))
    drawn = EfficientAD(**{**TINY, "steps": 1, "teacher_steps": 1})
    parts = Parts(stripes(8, SIZE, seed=0))
    assert float(detector.fit(parts).losses) != float(drawn.fit(parts).losses)


def test_too_small_an_image(fitted) -> None:
    with pytest.raises(InputError, match="each side needs 33"):
        fitted(torch.zeros(1, 3, 32, 64))
    with pytest.raises(InputError, match="each side needs 33"):
        EfficientAD(**TINY).fit(Parts(stripes(4, (64, 32), seed=0)))
    with torch.inference_mode():
        assert fitted(torch.rand(1, 3, 33, 70)).map.shape == (1, 33, 70)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "l"},
        {"border": "mirror"},
        {"autoencoder_side": 100},
        {"holdout": 0.0},
        {"hard": 1.0},
        {"channels": 1},
        {"teacher_steps": 0},
        {"teacher_pictures": -1},
        {"steps": 0},
        {"weight_decay": -1.0},
        {"width": 0.0},
        {"lr": 0.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        EfficientAD(**wrong)
