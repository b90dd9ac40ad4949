"""CFLOW: fibres, conditions, loss, schedule and map, each against the paper's formula written out."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.models import CFLOW
from blemish.models.cflow import decoder, log_likelihood, positions_2d
from parts import Parts, deface, stripes

TINY = {"steps": 40, "fibres": 256, "blocks": 4, "lr": 3e-3, "layers": [4, 8]}
SIZE = (64, 64)


@pytest.fixture(scope="module")
def fitted() -> CFLOW:
    return CFLOW(**TINY).fit(Parts(stripes(16, SIZE, seed=0)))


def learned(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def expected_size(channels: int, condition: int = 128, blocks: int = 8) -> int:
    """Per block two linear layers, half a fibre and the condition in, twice as wide inside; and the channels' scaling."""
    seen = channels // 2 + condition
    return blocks * (seen * 2 * seen + 2 * seen + 2 * seen * channels + channels + 2 * channels)


@pytest.mark.parametrize(
    ("channels", "count"), [((64, 192, 128), 3_065_856), ((512, 1024, 2048), 81_647_616)], ids=["texnet_s", "WRN-50"]
)
def test_the_sizes_of_the_decoders(channels, count) -> None:
    with torch.device("meta"):
        found = sum(learned(decoder(c, 8, 128, 1.9)) for c in channels)
    assert found == sum(map(expected_size, channels))
    assert found == count


def test_the_default_has_the_size_its_docstring_says() -> None:
    detector = CFLOW()
    assert learned(detector) == 3_065_856
    assert "3 065 856 on texnet_s" in CFLOW.__doc__
    assert detector.features.strides == (8, 16, 32)
    coupling = detector.decoders[0].parts[0]
    first, _, last = coupling.to_second.net
    assert (first.in_features, first.out_features, last.out_features) == (32 + 128, 2 * (32 + 128), 64)
    assert (coupling.clamp, coupling.kind, coupling.damping) == (1.9, "tanh", 0.1)
    assert len(detector.decoders[0].parts) == 8 * 3


def test_a_fibre_knows_its_place(fitted) -> None:
    image = stripes(2, (64, 96), seed=1)
    for (rows, places, shape), map in zip(fitted.described(image), fitted.features(image), strict=True):
        b, h, w = shape
        code = positions_2d(128, h, w)
        assert (b, h, w) == (2, *map.shape[2:])
        for i, (n, y, x) in enumerate((n, y, x) for n in range(b) for y in range(h) for x in range(w)):
            assert torch.equal(rows[i], map[n, :, y, x])
            assert torch.equal(places[i], code[:, y, x])


def test_the_likelihood_is_a_density_over_the_fibre() -> None:
    """By autograd's Jacobian, one fibre at a time."""
    flow = decoder(6, 2, 8, 1.9).double()
    for part in flow.parts:
        if hasattr(part, "matrix"):
            part.matrix = torch.linalg.qr(part.matrix).Q
    rows, places = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, 8, dtype=torch.float64)
    found = log_likelihood(flow, rows, places).detach()
    for i in range(3):
        row, place = rows[i], places[i : i + 1]
        jacobian = torch.autograd.functional.jacobian(lambda x, c=place: flow([x[None]], c)[0][0][0], row)
        z = flow([row[None]], place)[0][0].detach()
        log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum() + torch.linalg.slogdet(jacobian).logabsdet
        assert float(found[i]) == pytest.approx(float(log_p) / 6, rel=1e-6)


def test_the_condition_matters(fitted) -> None:
    (rows, places, _), _ = fitted.described(stripes(1, SIZE, seed=1))
    with torch.no_grad():
        here = log_likelihood(fitted.decoders[0], rows, places)
        elsewhere = log_likelihood(fitted.decoders[0], rows, places.flip(0))
    assert float((here - elsewhere).abs().max()) > 1e-3


def test_the_loss_lets_go_of_likely_fibres() -> None:
    detector = CFLOW(**{**TINY, "fibres": 10_000})  # more than there are: all of them, so that nothing is drawn
    image = stripes(2, SIZE, seed=3)
    with torch.no_grad():
        found = float(detector.loss(Batch({"image": image})))
        expected = 0.0
        for grid in detector.log_likelihoods(image):
            expected += sum(-math.log(1 / (1 + math.exp(-float(v)))) for v in grid.flatten()) / grid.numel()
    assert found == pytest.approx(expected, rel=1e-4)


def test_as_many_fibres_as_asked_are_drawn_each_once() -> None:
    detector = CFLOW(**{**TINY, "fibres": 50})
    seen: list[torch.Tensor] = []
    detector.decoders[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    batch = Batch({"image": stripes(2, SIZE, seed=3)})
    for _ in range(2):
        detector.loss(batch)
    assert [len(rows) for rows in seen] == [50, 50]
    assert len(seen[0].unique(dim=0)) == 50
    assert not torch.equal(seen[0], seen[1])


def test_the_learning_rate_rises_and_falls() -> None:
    detector = CFLOW(steps=100)
    rates = [detector.pace(step) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 8)
    assert rates[7] == rates[8] == 1
    assert rates[54] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert all(0 <= rate <= 1 for rate in rates)
    assert CFLOW(steps=1).pace(0) == CFLOW(steps=1).pace(1) == 1


def test_the_largest_likelihood_is_the_training_parts(fitted) -> None:
    with torch.no_grad():
        grids = [fitted.log_likelihoods(stripes(16, SIZE, seed=0)[i : i + 8]) for i in (0, 8)]
    for layer in range(2):
        assert float(fitted.best[layer]) == pytest.approx(max(float(g[layer].max()) for g in grids), rel=1e-5)


def test_the_map_is_what_the_layers_likelihoods_leave(fitted) -> None:
    image = deface(stripes(2, SIZE, seed=4), 0)[0]
    with torch.no_grad():
        score, map = fitted(image)[:2]
        total = torch.zeros(2, *SIZE)
        for grid, best in zip(fitted.log_likelihoods(image), fitted.best, strict=True):
            share = torch.tensor([math.exp(float(v) - float(best)) for v in grid.flatten()]).view_as(grid)
            total += F.interpolate(share[:, None], size=SIZE, mode="bilinear")[:, 0]
    torch.testing.assert_close(map, -total, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(score, -total.amin((1, 2)), rtol=1e-3, atol=1e-8)


def test_the_worst_parts_are_still_told_apart(fitted) -> None:
    """A sum of likelihoods near 0 must not be rounded away against the number of layers."""
    bad = deface(stripes(6, SIZE, seed=8), 3)[0]
    score = fitted(torch.cat([bad, torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))])).image
    assert len(score.unique()) == 8
    assert (score < 0).all()


def test_the_decoders_learn_and_the_frozen_network_does_not(fitted) -> None:
    start = CFLOW(**TINY)
    assert len(fitted.losses) == TINY["steps"]
    assert fitted.losses[-5:].mean() < fitted.losses[:5].mean()
    for name, value in fitted.named_parameters():
        assert torch.equal(value, start.get_parameter(name)) == name.startswith("features.")


def test_any_size(fitted) -> None:
    score, map = fitted(stripes(1, (72, 120), seed=1))[:2]
    assert map.shape == (1, 72, 120)
    assert score.isfinite().all()


@pytest.mark.parametrize(
    "wrong",
    [{"blocks": 0}, {"condition": 6}, {"clamp": 0.0}, {"fibres": 0}, {"steps": 0}, {"lr": 0.0}],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        CFLOW(**wrong)
