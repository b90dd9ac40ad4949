"""STPM's loss and map against loops over the places, its networks against the published ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from blemish.core.errors import InputError, UnknownName
from blemish.core.types import Batch
from blemish.models import STPM
from parts import Parts, deface, stripes

TINY = {"steps": 25}
SIZE = (64, 48)


@pytest.fixture(scope="module")
def fitted() -> STPM:
    return STPM(steps=4).fit(Parts(stripes(8, SIZE, seed=0)))


def slow_distances(detector: STPM, image: torch.Tensor) -> list[torch.Tensor]:
    """Half the squared distance of the unit vectors at each place, one place at a time."""
    levels = []
    for t, s in zip(detector.teacher(image), detector.student(image), strict=True):
        out = torch.zeros(len(t), *t.shape[2:])
        for b in range(len(t)):
            for y in range(t.shape[2]):
                for x in range(t.shape[3]):
                    one, other = t[b, :, y, x], s[b, :, y, x]
                    out[b, y, x] = ((one / one.norm() - other / other.norm()) ** 2).sum() / 2
        levels.append(out)
    return levels


def test_loss_is_the_papers_sum_over_levels(fitted) -> None:
    image = stripes(2, SIZE, seed=3)
    with torch.inference_mode():
        expected = sum(float(level.mean()) for level in slow_distances(fitted, image))
        found = float(fitted.loss(Batch({"image": image})))
    assert found == pytest.approx(expected, rel=1e-4)


def test_map_is_the_root_of_the_product_on_the_shallowest_grid(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=3), 0)[0]
    with torch.inference_mode():
        shallow, middle, deep = slow_distances(fitted, image)
        score, map = fitted(image)[:2]
    assert shallow.shape == (2, 16, 12)
    product = shallow[:, None]
    for level in (middle, deep):
        product = product * F.interpolate(level[:, None], (16, 12), mode="bilinear", align_corners=False)
    grown = F.interpolate(product, SIZE, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(map**3, grown, rtol=1e-3, atol=1e-7)
    assert score.tolist() == pytest.approx([float(m.max()) for m in map])


def test_the_published_networks() -> None:
    detector = STPM(backbone="resnet18", pretrained=False)
    maps = detector.student(torch.zeros(1, 3, 256, 256))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 64, 64), (128, 32, 32), (256, 16, 16)]
    assert sum(p.numel() for p in detector.student.parameters()) == resnet18_to_layer3() == 2_782_784
    assert sum(p.numel() for p in STPM().student.parameters()) == 1_843_776


def resnet18_to_layer3() -> int:
    """Weights of the convolutions and two numbers a channel of each batch norm, from the table of the ResNet paper."""
    count, inside = 7 * 7 * 3 * 64 + 2 * 64, 64
    for outside in (64, 128, 256):
        count += 9 * inside * outside + 3 * 9 * outside * outside + 4 * 2 * outside
        count += 0 if inside == outside else inside * outside + 2 * outside
        inside = outside
    return count


def test_only_the_student_learns() -> None:
    fresh = STPM(steps=2)
    before = {k: v.clone() for k, v in fresh.state_dict().items()}
    fresh.fit(Parts(stripes(8, SIZE, seed=0)))
    after = fresh.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("teacher."))
    moved = [
        k for k, _ in fresh.student.named_parameters() if not torch.equal(before[f"student.{k}"], after[f"student.{k}"])
    ]
    assert len(moved) == len(list(fresh.student.parameters()))
    assert fresh.losses.shape == (2,)
    assert float(fresh.losses[0]) == pytest.approx(3, abs=0.3), "strangers are at right angles: 1 a level"


def test_a_twin_that_copies_the_teacher_scores_zero() -> None:
    detector = STPM(backbone="resnet18", pretrained=False)
    detector.student.net.load_state_dict(detector.teacher.net.state_dict())
    detector.losses = torch.zeros(1)
    with torch.no_grad():
        score, map = detector.eval()(stripes(2, SIZE, seed=3))[:2]
    assert float(score.max()) == float(map.max()) == 0
    assert math.isfinite(float(map.sum()))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"lr": 0.0}, {"momentum": 1.0}, {"weight_decay": -1.0}])
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        STPM(**wrong)


def test_unknown_layer() -> None:
    with pytest.raises(UnknownName, match="stage3"):
        STPM(layers=["stag3"])


def test_one_image_too_small_for_batch_norm_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="batch of one image is too small"):
        STPM(steps=1).fit(Parts(stripes(1, (32, 32), seed=0)))
