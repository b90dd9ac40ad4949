"""DRAEM: the two published networks, how parts are spoilt, the three losses and the two scores."""

import math

import pytest
import torch
from torch import nn

import blemish.models.draem
from blemish.core.errors import InputError
from blemish.models import DRAEM
from blemish.models.draem import Discriminative, Reconstructive
from blemish.ops.ssim import ssim
from blemish.ops.textures import texture
from parts import Parts, deface, stripes, write_png

# The contract's defects are turned squares, so its good parts must not be turned.
TINY = {"width": 8, "rotate": 0.0, "steps": 60, "lr": 5e-3}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> DRAEM:
    return DRAEM(**{**TINY, "steps": 30}).fit(Parts(stripes(16, SIZE, seed=0)))


def test_parameters_of_the_published_networks() -> None:
    """Counted from a table of all convolutions at width 128 and 64; each but the last has a batch norm."""
    down = [(3, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 1024)] + [(1024, 1024)] * 3
    up = [(1024, 1024), (1024, 1024), (1024, 512), (512, 512), (512, 512), (512, 256)]
    up += [(256, 256), (256, 256), (256, 128), (128, 128), (128, 128), (128, 128)]
    restore = sum(9 * i * o + 3 * o for i, o in down + up) + 9 * 128 * 3 + 3
    assert sum(p.numel() for p in Reconstructive(128).parameters()) == restore
    down = [(6, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)] + [(512, 512)] * 5
    up = [(512, 512), (1024, 512), (512, 512), (512, 256), (768, 256), (256, 256), (256, 128), (384, 128), (128, 128)]
    up += [(128, 64), (192, 64), (64, 64), (64, 64), (128, 64), (64, 64)]
    segment = sum(9 * i * o + 3 * o for i, o in down + up) + 9 * 64 * 2 + 2
    assert sum(p.numel() for p in Discriminative(64).parameters()) == segment
    assert restore + segment == 97_422_725


def test_maps_shrink_to_a_sixteenth_and_to_a_32nd() -> None:
    """Smallest maps and output sizes; only the discriminative network hands maps across."""
    seen: list[tuple[int, ...]] = []
    restore, segment = Reconstructive(8), Discriminative(4)
    for network in (restore, segment):
        network.down[-1].register_forward_hook(lambda module, into, out: seen.append(tuple(out.shape)))
    image = torch.rand(2, 3, 64, 96)
    assert restore(image).shape == (2, 3, 64, 96)
    assert segment(torch.cat([image, image], dim=1)).shape == (2, 2, 64, 96)
    assert seen == [(2, 64, 4, 6), (2, 32, 2, 3)]
    wide = [u[0].in_channels // 4 for u in segment.up]
    assert wide == [8 + 8, 4 + 8, 2 + 4, 1 + 2, 1 + 1]
    assert [u[0].in_channels // 8 for u in restore.up] == [8, 4, 2, 1]


def test_initial_weights_are_small_normal_numbers() -> None:
    detector = DRAEM(width=16)
    convolutions = torch.cat([m.weight.flatten() for m in detector.modules() if isinstance(m, nn.Conv2d)])
    norms = torch.cat([m.weight for m in detector.modules() if isinstance(m, nn.BatchNorm2d)])
    assert float(convolutions.detach().std()) == pytest.approx(0.02, rel=0.01)
    assert float(norms.detach().mean()) == pytest.approx(1, abs=0.01)
    assert float(norms.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_spoilt_parts_mix_a_texture_into_the_mask_only(monkeypatch) -> None:
    monkeypatch.setattr(blemish.models.draem, "distort", lambda image, generator: image)
    detector, generator, shares, spoilt = DRAEM(width=2, rotate=0.0), torch.Generator().manual_seed(0), [], 0
    image = stripes(1, (64, 80), seed=0)[0]
    for _ in range(300):
        good, bad, mask = detector.spoil(image, generator, lambda size, g: torch.ones(3, *size))
        assert torch.equal(good, image)
        assert mask.shape == (64, 80)
        assert torch.equal(bad[:, ~mask], image[:, ~mask])
        if mask.any():
            spoilt += 1
            own = (1 - bad[:, mask]) / (1 - image[:, mask])  # 1 - ((1 - β) + β x) = β (1 - x)
            share = own[(1 - image[:, mask]) > 0.1]
            if len(share):
                assert float(share.max() - share.min()) < 1e-4, "one share a part"
                shares.append(float(share.mean()))
    assert 90 < spoilt < 165, "a half, less the empty masks"
    assert 0 <= min(shares) < 0.05
    assert 0.75 < max(shares) <= 0.8


def test_textures_are_distorted_before_they_are_mixed() -> None:
    image, detector = torch.zeros(3, *SIZE), DRAEM(width=2, anomalies=1.0, beta=0.0, rotate=0.0)
    inside = []
    for seed in range(20):
        _, bad, mask = detector.spoil(image, torch.Generator().manual_seed(seed), lambda s, g: torch.full((3, *s), 0.3))
        inside += [round(float(v), 3) for v in bad[:, mask].mean(1)] if mask.any() else []
    assert len(set(inside)) > 5, "the texture is .3 everywhere"


def test_half_of_the_drawn_textures_have_no_colour(monkeypatch) -> None:
    """Half of the drawn textures have no colour and those of a folder keep theirs."""
    monkeypatch.setattr(blemish.models.draem, "distort", lambda image, generator: image)
    image, colours = torch.zeros(3, *SIZE), torch.tensor([0.9, 0.5, 0.1]).view(3, 1, 1)

    def grey(**options) -> list[bool]:
        detector, found = DRAEM(width=2, anomalies=1.0, beta=0.0, rotate=0.0, **options), []
        for seed in range(120):
            generator = torch.Generator().manual_seed(seed)
            _, bad, mask = detector.spoil(image, generator, lambda s, g: colours * torch.rand(1, *s, generator=g))
            if mask.any():
                found.append(bool(torch.equal(bad[0], bad[1]) and torch.equal(bad[1], bad[2])))
        assert len(found) > 60
        return found

    assert 0.35 < sum(found := grey()) / len(found) < 0.65
    assert all(grey(grey=1.0))
    assert not any(grey(grey=0.0))
    assert not any(grey(textures="a folder"))


@pytest.mark.parametrize("size", [(32, 32), (20, 30)])
def test_one_small_part_can_be_learned_from(size) -> None:
    detector = DRAEM(width=2, steps=2).fit(Parts(stripes(1, size, seed=0)))
    assert detector(stripes(2, size, seed=1)).map.shape == (2, *size)


def test_some_good_parts_are_turned() -> None:
    image, generator = stripes(1, SIZE, seed=0)[0], torch.Generator().manual_seed(0)
    detector = DRAEM(width=2, anomalies=0.0)
    results = [detector.spoil(image, generator, texture) for _ in range(200)]
    turned = sum(not torch.equal(good, image) for good, _, _ in results)
    assert 40 < turned < 80, "three in ten"
    assert all(torch.equal(good, bad) and not mask.any() for good, bad, mask in results)


@pytest.mark.parametrize("gamma", [2.0, 3.0])
def test_the_first_loss_is_the_sum_of_three(gamma) -> None:
    image = stripes(4, SIZE, seed=0)
    found = DRAEM(**{**TINY, "steps": 1, "gamma": gamma}).fit(Parts(image)).losses
    detector, generator = DRAEM(**TINY).train(), torch.Generator().manual_seed(0)
    good, spoilt, mask = map(torch.stack, zip(*[detector.spoil(i, generator, texture) for i in image], strict=True))
    assert mask.any(), "the check sees a spoilt part"
    with torch.no_grad():
        restored = detector.reconstructive(spoilt)
        p = torch.softmax(detector.discriminative(torch.cat([restored, spoilt], dim=1)), dim=1)
    squares = ((restored - good) ** 2).sum() / good.numel()
    truth = torch.where(mask, p[:, 1], p[:, 0])
    focal = (-((1 - truth) ** gamma) * truth.log()).mean()
    assert found.shape == (1,)
    assert float(found) == pytest.approx(float(squares + 1 - ssim(restored, good).mean() + focal), rel=1e-4)


def test_the_rate_falls_to_a_fifth_and_a_25th(monkeypatch) -> None:
    rates = []

    def watch(module, loss, data, *, steps, optimiser, schedule):
        for _ in range(steps):
            rates.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.step()
        return [0.0] * steps

    monkeypatch.setattr(blemish.models.draem, "optimise", watch)
    DRAEM(**{**TINY, "steps": 20, "lr": 1e-4}).fit([])
    assert rates == pytest.approx([1e-4] * 16 + [2e-5] * 2 + [4e-6] * 2)


@pytest.mark.slow
def test_map_is_a_probability_and_the_image_its_worst_spot(fitted) -> None:
    """Map is the probability and the image its worst neighbourhood."""
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    with torch.inference_mode():
        score, map = fitted(image)[:2]
        _, logits = fitted.segment(image)
    good, bad = logits.double().exp().unbind(1)
    torch.testing.assert_close(map.double(), bad / (good + bad), rtol=1e-4, atol=1e-6)
    for b in range(2):
        padded = torch.zeros(84, 84)
        padded[10:74, 10:74] = map[b]
        means = [float(padded[y : y + 21, x : x + 21].mean()) for y in range(64) for x in range(64)]
        assert float(score[b]) == pytest.approx(max(means), rel=1e-4)


@pytest.mark.parametrize("size", [(70, 100), (96, 64)])
def test_any_size(fitted, size) -> None:
    image = stripes(2, size, seed=5)
    with torch.inference_mode():
        score, map = fitted(image)[:2]
        if size == (96, 64):
            torch.testing.assert_close(map, fitted.segment(image)[1].softmax(1)[:, 1])
    assert map.shape == (2, *size)
    assert score.isfinite().all()
    assert DRAEM(**{**TINY, "steps": 1}).fit(Parts(image)).losses.isfinite().all()


def test_pictures_of_textures_are_read_while_fitting_only(tmp_path) -> None:
    for i in range(2):
        write_png(tmp_path / "kind" / f"{i}.png", torch.rand(3, 20, 30))
    data = Parts(stripes(8, SIZE, seed=0))
    detector = DRAEM(**{**TINY, "steps": 1}, textures=str(tmp_path)).fit(data)
    assert not torch.equal(detector.losses, DRAEM(**{**TINY, "steps": 1}).fit(data).losses)
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    loaded = DRAEM.load(detector.save(tmp_path / "d.safetensors"))
    assert math.isfinite(float(loaded(stripes(1, SIZE, 0)).image.detach()))
    with pytest.raises(InputError, match="no image"):
        DRAEM(**{**TINY, "steps": 1}, textures=str(tmp_path)).fit(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 3},
        {"width": 0},
        {"rotate": 1.5},
        {"grey": -0.5},
        {"threshold": 1.0},
        {"beta": -0.1},
        {"anomalies": 2.0},
        {"gamma": 0.5},
        {"steps": 0},
        {"lr": 0.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        DRAEM(**wrong)
