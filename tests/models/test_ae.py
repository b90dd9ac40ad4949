"""AE: the published network, its two residuals against their definitions, and images of any size."""

import pytest
import torch

from blemish.core.errors import InputError
from blemish.models import AE
from blemish.ops.ssim import ssim
from parts import Parts, deface, stripes

TINY = {"halvings": 3, "latent": 8, "width": 8, "steps": 60, "lr": 5e-3, "sigma": 2.0}
SIZE = (64, 64)


@pytest.fixture(scope="module", params=["mse", "ssim"])
def fitted(request) -> AE:
    return AE(**TINY, loss=request.param).fit(Parts(stripes(24, SIZE, seed=0)))


def convolution(into: int, out: int, kernel: int) -> int:
    return into * out * kernel**2 + out


def test_parameters_of_the_papers_two_settings() -> None:
    """Counted by hand from the published table, encoder and mirrored decoder."""
    inner = [(32, 32, 3), (32, 64, 4), (64, 64, 3), (64, 128, 4), (128, 64, 3), (64, 32, 3)]
    for detector, deeper, latent in ((AE(), 2, 500), (AE(halvings=4, latent=100), 1, 100)):
        table = [(3, 32, 4), *[(32, 32, 4)] * deeper, *inner, (32, latent, 8)]
        expected = sum(convolution(i, o, k) + convolution(o, i, k) for i, o, k in table)
        assert sum(p.numel() for p in detector.parameters()) == expected
    assert sum(p.numel() for p in AE().parameters()) == 2_722_231


def test_the_code_has_the_chosen_size() -> None:
    detector = AE(halvings=4, latent=100)
    assert detector.side == 128
    assert detector.encoder(torch.rand(2, 3, 128, 128)).shape == (2, 100, 1, 1)


@pytest.mark.slow
def test_the_map_is_the_residual_that_was_trained(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    detector = AE(**{**TINY, "sigma": 0.0}, loss=fitted.loss)
    detector.adopt(fitted)
    with torch.inference_mode():
        score, map = detector.eval()(image)[:2]
        redrawn = fitted.decoder(fitted.encoder(image))
    expected = torch.zeros(2, *SIZE)
    similar = ssim(image, redrawn)
    for c in range(3):
        expected += (image - redrawn)[:, c] ** 2 if fitted.loss == "mse" else (1 - similar[:, c]) / 3
    torch.testing.assert_close(map, expected)
    torch.testing.assert_close(score, expected.flatten(1).max(1).values)


def test_training_lowers_the_loss_of_every_step_kept(fitted) -> None:
    assert fitted.losses.shape == (TINY["steps"],)
    assert fitted.losses[-5:].mean() < 0.3 * fitted.losses[0]


@pytest.mark.parametrize("options", [{"stride": 32, "loss": "mse"}, {"window": 5, "loss": "ssim"}])
def test_stride_and_window_are_those_asked_for(options) -> None:
    detector, image = AE(**{**TINY, "sigma": 0.0, "steps": 1}, **options), stripes(1, (64, 96), seed=4)
    detector.fit(Parts(stripes(2, SIZE, seed=0)))
    total, count, stride = torch.zeros(64, 96), torch.zeros(96), options.get("stride", 16)
    with torch.inference_mode():
        for x in range(0, 33, stride):
            part = image[..., x : x + 64]
            redrawn = detector.decoder(detector.encoder(part))
            squares, similar = (part - redrawn).square().sum(1)[0], 1 - ssim(part, redrawn, window=5).mean(1)[0]
            total[:, x : x + 64] += squares if options["loss"] == "mse" else similar
            count[x : x + 64] += 1
        torch.testing.assert_close(detector(image).map[0], total / count)


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (96, 131)])
def test_any_size(fitted, size) -> None:
    image = stripes(2, size, seed=5)
    with torch.inference_mode():
        score, map = fitted(image)[:2]
        first = fitted.residual(image[..., :64, :64]) if min(size) >= 64 else None
    assert map.shape == (2, *size)
    assert score.isfinite().all()
    if first is not None and size != SIZE:  # the corner is seen through one window only
        raw = AE(**{**TINY, "sigma": 0.0}, loss=fitted.loss)
        raw.adopt(fitted)
        with torch.inference_mode():
            torch.testing.assert_close(raw(image).map[:, :16, :16], first[:, :16, :16])


def test_large_good_images_are_redrawn_window_by_window(fitted) -> None:
    """A defect away from the first window is found too."""
    good = stripes(1, (128, 160), seed=6)
    bad, mask = good.clone(), torch.zeros(128, 160, dtype=torch.bool)
    bad[0, :, 90:110, 120:140] = good[0, :, 90:110, 120:140].transpose(1, 2).flip(1)
    mask[90:110, 120:140] = True
    with torch.inference_mode():
        map = fitted(bad).map[0]
    assert map[mask].mean() > 3 * map[~mask].mean()


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": "l1"},
        {"halvings": 2},
        {"latent": 0},
        {"width": 0},
        {"window": 10},
        {"window": 129, "halvings": 3, "loss": "ssim"},
        {"steps": 0},
        {"lr": 0.0},
        {"weight_decay": -1.0},
        {"stride": 257},
        {"sigma": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        AE(**wrong)
