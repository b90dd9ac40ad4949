"""CutPaste: the versions of an image, the head, the two Gaussians, the windows of the map."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

import blemish.models.cutpaste
from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.models import CutPaste
from blemish.models.cutpaste import Gaussian, projection
from blemish.ops.gaussian import Moments
from parts import Parts, deface, stripes

# A covariance of features tells the contract's stripes apart even where nothing was learned. With a large ridge the
# distances are nearly Euclidean, between embeddings of unit length, and only what training made of them counts.
TINY = {"layer": 8, "normalise": True, "ridge": 10.0, "steps": 25}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> CutPaste:
    return CutPaste(**{**TINY, "ridge": 0.01, "normalise": False, "steps": 5}).fit(Parts(stripes(16, SIZE, seed=0)))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_the_default_and_of_the_papers_network() -> None:
    assert count(CutPaste()) == 2_001_411
    paper = CutPaste(backbone="resnet18", layer=32)
    block = [(64, 64, 2, 0), (64, 128, 2, 1), (128, 256, 2, 1), (256, 512, 2, 1)]  # into, out, blocks, shortcuts
    trunk = 3 * 64 * 49 + 2 * 64
    for into, out, blocks, shortcuts in block:
        trunk += 9 * into * out + (2 * blocks - 1) * 9 * out * out + 2 * blocks * 2 * out
        trunk += shortcuts * (into * out + 2 * out)
    assert count(paper.trunk) == trunk == 11_176_512
    assert count(paper.head) == 512 * 512 + 2 * 512 + 512 * 128 + 2 * 128 + 128 * 3 + 3
    assert count(paper) == 11_505_859


def test_the_head_ends_in_128_numbers_and_the_classes() -> None:
    head = projection(192, [512] * 8 + [128], 2)
    linear = [(m.in_features, m.out_features) for m in head if isinstance(m, nn.Linear)]
    assert linear == [(192, 512)] + [(512, 512)] * 7 + [(512, 128), (128, 2)]
    assert sum(isinstance(m, nn.BatchNorm1d) for m in head) == sum(isinstance(m, nn.ReLU) for m in head) == 9
    assert isinstance(head[-1], nn.Linear), "logits"
    for variant, classes in (("normal", 2), ("scar", 2), ("3way", 3)):
        assert CutPaste(variant=variant).head[-1].out_features == classes
        assert len([m for m in CutPaste(variant=variant, head_layers=3).head if isinstance(m, nn.Linear)]) == 5


@pytest.mark.parametrize(("variant", "kinds"), [("normal", ["patch"]), ("scar", ["scar"]), ("3way", ["patch", "scar"])])
def test_versions_differ_where_something_was_pasted(variant, kinds) -> None:
    images, detector = stripes(6, (128, 128), seed=0), CutPaste(variant=variant)
    made, labels = detector.versions(images, torch.Generator().manual_seed(0))
    assert labels.tolist() == [label for label in range(1 + len(kinds)) for _ in range(6)]
    good, *pasted = made.chunk(1 + len(kinds))
    assert not torch.equal(good, images), "all versions are jittered"
    assert not torch.equal(good[0] / images[0], good[1] / images[1]), "each image in its own way"
    for kind, version in zip(kinds, pasted, strict=True):
        changed = (version != good).any(1).flatten(1).sum(1)
        assert (changed > 0).all()
        most = {"patch": 0.16 * 128 * 128, "scar": 16 * 25 + 20}[kind]
        assert changed.max() <= most
    if variant == "3way":
        assert (pasted[0] != good).sum() > (pasted[1] != good).sum()
    plain = CutPaste(variant=variant, jitter=0.0).versions(images, torch.Generator().manual_seed(0))[0][:6]
    torch.testing.assert_close(plain, images)


def test_the_loss_is_the_cross_entropy_of_the_versions(monkeypatch) -> None:
    """The first loss from the logits by hand, and which optimiser takes the steps."""
    images, seen = stripes(8, SIZE, seed=0), {}

    def watch(module, loss, data, *, steps, optimiser, schedule, label):
        seen.update(optimiser.defaults, module=module, rates=[])
        seen["loss"] = float(loss(Batch({"image": images})).detach())
        for _ in range(steps):
            seen["rates"].append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.step()
        module.eval()
        return [0.0] * steps

    monkeypatch.setattr(blemish.models.cutpaste, "optimise", watch)
    fresh = CutPaste(**TINY).train()
    detector = CutPaste(**TINY).fit(Parts(images))
    made, kinds = fresh.versions(images, torch.Generator().manual_seed(0))
    with torch.no_grad():
        p = fresh.head(F.normalize(fresh.trunk(made)[0].mean((2, 3)))).double().exp()
    by_hand = [-math.log(float(row[kind] / row.sum())) for row, kind in zip(p, kinds.tolist(), strict=True)]
    assert seen["loss"] == pytest.approx(np.mean(by_hand), rel=1e-4)
    assert seen["module"] is detector
    assert (seen["lr"], seen["momentum"], seen["weight_decay"]) == (0.03, 0.9, 3e-5)
    assert seen["rates"] == pytest.approx([0.03 * (1 + math.cos(math.pi * i / 25)) / 2 for i in range(25)])


@pytest.mark.slow
def test_trunk_and_head_learn(fitted) -> None:
    start = CutPaste(**fitted.params)
    assert all(not torch.equal(value, start.get_parameter(name)) for name, value in fitted.named_parameters())
    losses = CutPaste(**TINY).fit(Parts(stripes(24, SIZE, seed=0))).losses
    assert losses.shape == (25,)
    assert losses[-5:].mean() < losses[:5].mean() - 0.1


def slow_distance(samples: np.ndarray, points: np.ndarray, ridge: float) -> np.ndarray:
    """Mahalanobis by numpy, with the diagonal of the covariance raised by ridge times the mean variance."""
    covariance = np.cov(samples.T)
    covariance += ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    centred = points - samples.mean(0)
    return np.sqrt(np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred))


@pytest.mark.parametrize("normalise", [False, True])
def test_scores_are_mahalanobis_distances_to_the_good_parts(fitted, normalise) -> None:
    good, image = stripes(16, SIZE, seed=0), deface(stripes(3, SIZE, seed=4), 0)[0]
    if normalise:
        fitted = CutPaste(**{**fitted.params, "normalise": True}).fit(Parts(good))
    with torch.no_grad():
        known, asked = (fitted.trunk(x)[0].double().numpy() for x in (good, image))
        score, map = fitted(image)[:2]

    def scaled(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=-1, keepdims=True) if normalise else x

    def windows(maps: np.ndarray) -> np.ndarray:
        """Means over 3 x 3 cells, of those that there are at the border."""
        b, c, h, w = maps.shape
        out = np.zeros((b, h, w, c))
        for y in range(h):
            for x in range(w):
                part = maps[:, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
                out[:, y, x] = part.mean((2, 3))
        return scaled(out)

    expected = slow_distance(scaled(known.mean((2, 3))), scaled(asked.mean((2, 3))), 0.01)
    np.testing.assert_allclose(score.numpy(), expected, rtol=1e-3)
    flat = windows(known).reshape(-1, known.shape[1])
    grid = slow_distance(flat, windows(asked).reshape(-1, known.shape[1]), 0.01).reshape(3, 1, 8, 8)
    grown = F.interpolate(torch.tensor(grid), size=SIZE, mode="bilinear", align_corners=False)[:, 0].numpy()
    smooth = np.stack([ndimage.gaussian_filter(one, 4) for one in grown])
    np.testing.assert_allclose(map.numpy(), smooth, rtol=2e-3, atol=2e-3)


def test_the_density_knows_good_parts_as_they_are(fitted) -> None:
    """Neither jitter nor pasted pieces enter the Gaussians, and the batch norms stand still in the second pass."""
    with torch.no_grad():
        whole, windows = fitted.embed(stripes(16, SIZE, seed=0))
    torch.testing.assert_close(fitted.images.mean[0], whole.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fitted.windows.mean[0], windows.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)


def test_the_seed_decides_where_trunk_and_head_begin() -> None:
    one, same, other = (CutPaste(**{**TINY, "pretrained": False, "seed": seed}).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    for part in ("trunk", "head"):
        drawn = [name for name, value in one.items() if name.startswith(part) and value.ndim > 1 and "mean" not in name]
        assert not any(torch.equal(one[name], other[name]) for name in drawn if "std" not in name)


def test_pretrained_weights_are_where_the_trunk_starts() -> None:
    warm = CutPaste(pretrained=True)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in warm.trunk.modules())
    assert all(p.requires_grad for p in warm.trunk.parameters())
    fitted = CutPaste(pretrained=True, steps=2, lr=0.001).fit(Parts(stripes(8, SIZE, seed=0)))
    start = dict(warm.trunk.named_parameters())
    assert all(not torch.equal(p, start[name]) for name, p in fitted.trunk.named_parameters())


@pytest.mark.parametrize("size", [(70, 100), (96, 64)])
def test_any_size(fitted, size) -> None:
    score, map = fitted(stripes(2, size, seed=5))[:2]
    assert map.shape == (2, *size)
    assert score.isfinite().all()
    assert CutPaste(**{**TINY, "steps": 1}).fit(Parts(stripes(4, size, seed=0))).losses.isfinite().all()


def test_one_good_part_has_no_covariance() -> None:
    with pytest.raises(InputError, match="at least 2 images"):
        CutPaste(**{**TINY, "steps": 1}).fit(Parts(stripes(1, SIZE, seed=0)))


def test_good_parts_that_all_look_the_same_have_none_either() -> None:
    moments = Moments()
    moments.update([torch.ones(5, 4, 1, 1)])
    with pytest.raises(InputError, match="no difference between 5 good images"):
        Gaussian().take(moments, 0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        {"variant": "union"},
        {"window": 2},
        {"jitter": 0.6},
        {"head_layers": -1},
        {"steps": 0},
        {"lr": 0.0},
        {"ridge": 0.0},
        {"sigma": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        CutPaste(**wrong)
