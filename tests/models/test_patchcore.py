"""PatchCore's mathematics against loops that follow the paper and the official code."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from blemish.core.errors import InputError, UnknownName
from blemish.core.saved import write_saved
from blemish.models import PatchCore, Patchcore
from parts import Parts, deface, stripes

TINY = {"coreset_sampling_ratio": 0.2}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> PatchCore:
    return PatchCore(**TINY).fit(Parts(stripes(8, SIZE, seed=0)))


def slow_describe(detector: PatchCore, image: torch.Tensor) -> torch.Tensor:
    """The mean of every 3 x 3 neighbourhood with zeros beyond the border, layer by layer, one patch at a time."""
    shallow, deep = detector.features(image)
    averaged = []
    for m in (shallow, deep):
        padded = F.pad(m, (1, 1, 1, 1))
        out = torch.zeros_like(m)
        for y in range(m.shape[2]):
            for x in range(m.shape[3]):
                out[:, :, y, x] = padded[:, :, y : y + 3, x : x + 3].mean((2, 3))
        averaged.append(out)
    grown = F.interpolate(averaged[1], size=averaged[0].shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([averaged[0], grown], dim=1).permute(0, 2, 3, 1)


def test_patch_descriptions(fitted) -> None:
    image = stripes(2, SIZE, seed=4)
    torch.testing.assert_close(fitted.describe(image)[0], slow_describe(fitted, image), rtol=1e-4, atol=1e-5)


def test_official_pooling_follows_the_code_step_by_step() -> None:
    detector = PatchCore(pooling="official")
    image = stripes(1, SIZE, seed=4)
    found, (_, h, w) = detector.describe(image)
    parts = []
    for m in detector.features(image):
        c = m.shape[1]
        padded = F.pad(m, (1, 1, 1, 1))[0]
        vectors = torch.zeros(c * 9, m.shape[2], m.shape[3])
        for y in range(m.shape[2]):
            for x in range(m.shape[3]):
                vectors[:, y, x] = padded[:, y : y + 3, x : x + 3].reshape(-1)  # channel, then row, then column
        grown = F.interpolate(vectors[None], size=(h, w), mode="bilinear", align_corners=False)[0]
        flat = grown.flatten(1).T
        parts.append(torch.stack([pool(v, 1024) for v in flat]))
    both = torch.cat(parts, dim=1)
    expected = torch.stack([pool(v, 1024) for v in both])
    torch.testing.assert_close(found.flatten(0, 2), expected, rtol=1e-4, atol=1e-5)


def pool(vector: torch.Tensor, size: int) -> torch.Tensor:
    """Adaptive average pooling by its definition."""
    n = len(vector)
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), vector.double().cumsum(0)])
    starts = torch.arange(size) * n // size
    ends = -(-(torch.arange(1, size + 1) * n) // size)
    return ((sums[ends] - sums[starts]) / (ends - starts)).float()


def test_score_and_map_are_distances_to_the_nearest_memory(fitted) -> None:
    image = deface(stripes(1, SIZE, seed=4), 0)[0]
    patches = slow_describe(fitted, image)[0].double()
    grid = np.array([[min(float((p - m).norm()) for m in fitted.bank.double()) for p in row] for row in patches])
    score, map = fitted(image)[:2]
    assert float(score) == pytest.approx(grid.max(), rel=1e-4)
    grown = F.interpolate(torch.tensor(grid)[None, None], size=SIZE, mode="bilinear", align_corners=False)[0, 0].numpy()
    np.testing.assert_allclose(map[0].numpy(), ndimage.gaussian_filter(grown, 4), rtol=1e-3, atol=1e-4)


def test_reweighting_is_equation_seven(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    plain = fitted(image).image
    weighted = PatchCore(**TINY, reweight="paper", reweight_neighbours=5).fit(Parts(stripes(8, SIZE, seed=0)))
    found = weighted(image).image
    for i in range(2):
        patches = slow_describe(fitted, image[i : i + 1])[0].flatten(0, 1).double()
        bank = weighted.bank.double()
        table = torch.cdist(patches, bank)
        worst = int(table.min(1).values.argmax())
        nearest = int(table[worst].argmin())
        around = torch.cdist(bank[nearest][None], bank)[0].argsort()[:5]
        assert nearest in around.tolist()
        share = float(table[worst, nearest].exp() / table[worst, around].exp().sum())
        assert float(found[i]) == pytest.approx((1 - share) * float(plain[i]), rel=1e-3)


def test_reweighting_survives_huge_distances(fitted) -> None:
    weighted = PatchCore(**TINY, reweight="paper").fit(Parts(stripes(8, SIZE, seed=0)))
    weighted.bank *= 1e4
    weighted.lead_centre *= 1e4
    weighted.norms *= 1e8
    assert weighted(stripes(1, SIZE, 0)).image.isfinite().all()


def test_more_neighbours_are_averaged(fitted) -> None:
    three = PatchCore(**TINY, neighbours=3).fit(Parts(stripes(8, SIZE, seed=0)))
    image = stripes(1, SIZE, seed=4)
    patches = slow_describe(three, image)[0].flatten(0, 1)
    expected = torch.cdist(patches, three.bank).sort(1).values[:, :3].mean(1).max()
    assert float(three(image).image) == pytest.approx(float(expected), rel=1e-3)


def test_bank_size_by_ratio_and_by_number() -> None:
    patches = 8 * 64  # 8 images, 8 x 8 cells at stride 8
    assert len(PatchCore(coreset_sampling_ratio=0.25).fit(Parts(stripes(8, SIZE, 0))).bank) == patches // 4
    assert len(PatchCore(coreset_size=37).fit(Parts(stripes(8, SIZE, 0))).bank) == 37
    assert len(PatchCore(coreset_size=10_000).fit(Parts(stripes(8, SIZE, 0))).bank) == patches


def test_more_patches_than_memory_still_give_a_covering_bank() -> None:
    """More patches than the memory holds still give a bank that covers them."""
    parts = Parts(stripes(24, SIZE, 0))
    whole = PatchCore(**TINY).fit(parts)
    small = PatchCore(**TINY, memory=800 * whole.bank.shape[1] * 4 / 2**30).fit(parts)  # 800 of 1536 patches
    assert small.bank.shape == whole.bank.shape
    patches = whole.describe(stripes(24, SIZE, 0))[0].flatten(0, 2)

    def cover(bank: torch.Tensor) -> float:
        return float(torch.cdist(patches, bank).min(1).values.max())

    assert cover(small.bank) <= 1.5 * cover(whole.bank)


def test_an_adopted_bank_is_searched_after_a_score(monkeypatch) -> None:
    """What is taken over is searched also where a score came before."""
    monkeypatch.setattr("blemish.ops.neighbours.WORTH", 0)
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    used, other = (PatchCore(coreset_size=256).eval() for _ in range(2))
    with torch.inference_mode():
        rows = used.describe(images)[0].flatten(0, 2)
    used._remember(torch.cat([rows[:128] + 3, rows[128:256] - 3]))
    other._remember(rows[:256] + 0.1)
    with torch.inference_mode():
        used(images)
        assert used._search is not None, "else nothing is shown"
        used.adopt(other)
        torch.testing.assert_close(used(images).image, other(images).image)


def test_files_with_norms_about_the_origin_are_still_read(fitted, tmp_path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in fitted.state_dict().items() if name != "norms"}
    meta = {"detector": "PatchCore", "params": json.dumps(fitted.params)}
    tensors["bank_norms"] = fitted.bank.square().sum(1)
    read = PatchCore.load(write_saved(tmp_path / "old.safetensors", meta, tensors))
    image = stripes(2, SIZE, seed=4)
    assert torch.equal(read.norms, fitted.norms)
    assert torch.equal(read(image).map, fitted(image).map)


def test_features_that_are_no_numbers_are_refused() -> None:
    detector = PatchCore(**TINY)
    detector.features.mean += torch.nan
    with pytest.raises(InputError, match="not finite"):
        detector.fit(Parts(stripes(2, SIZE, 0)))


def test_a_good_part_it_knows_scores_zero() -> None:
    parts = stripes(4, SIZE, seed=0)
    everything = PatchCore(coreset_sampling_ratio=1.0).fit(Parts(parts))
    assert float(everything(parts).image.max()) < 1e-2


@pytest.mark.parametrize(
    "wrong",
    [
        {"coreset_sampling_ratio": 0.0},
        {"coreset_size": 0},
        {"patch_size": 2},
        {"pooling": "max"},
        {"neighbours": 0},
        {"projection": 0},
        {"sigma": -1.0},
        {"memory": 0.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        PatchCore(**wrong)


def test_no_layers_are_not_the_usual_ones() -> None:
    with pytest.raises(InputError, match="name at least one"):
        PatchCore(layers=[])


def test_unknown_layer_and_backbone_suggest_the_nearest() -> None:
    with pytest.raises(UnknownName, match="stage3"):
        PatchCore(layers=["stag3"])
    with pytest.raises(UnknownName, match="Did you mean 'resnet18'"):
        PatchCore(backbone="resnet_18")


def test_the_rivals_spelling_is_accepted() -> None:
    assert Patchcore is PatchCore


def test_reweighting_needs_two_memories() -> None:
    with pytest.raises(InputError, match="at least 2 patches"):
        PatchCore(reweight="paper", coreset_size=1).fit(Parts(stripes(2, SIZE, 0)))
