"""Flows: determinants against autograd's Jacobian, inverses against what went in, clamps and permutations by definition."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from blemish.ops.networks.coupling import (
    Alone,
    Bijection,
    Coupling,
    Flow,
    Maps,
    Permutation,
    Rotation,
    Scaling,
    soft_clamp,
    surprise,
)
from blemish.training.random_state import seeded


@pytest.fixture(autouse=True)
def same_chance() -> object:
    with seeded(3):
        yield


def vector_net(inside: int, outside: int) -> nn.Module:
    net = nn.Sequential(nn.Linear(inside, 7), nn.Tanh(), nn.Linear(7, outside)).double()
    nn.init.normal_(net[2].weight)
    return Alone(net)


def map_net(inside: int, outside: int) -> nn.Module:
    return Alone(
        nn.Sequential(nn.Conv2d(inside, 5, 3, padding=1), nn.Tanh(), nn.Conv2d(5, outside, 3, padding=1)).double()
    )


class Crossed(nn.Module):
    """Two scales that speak to each other, as a cross-scale network does."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.fine, self.coarse = (nn.Conv2d(inside, outside, 3, padding=1).double() for _ in range(2))

    def forward(self, maps: Maps, condition: Tensor | None = None) -> Maps:
        fine, coarse = maps
        up = nn.functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
        down = nn.functional.interpolate(fine, size=coarse.shape[2:], mode="bilinear")
        return [self.fine(fine + up), self.coarse(coarse + down).tanh()]


def disturbed(part: Bijection) -> Bijection:
    """Move a scaling away from its start, the identity; make a rotation orthogonal to double precision."""
    for module in part.modules():
        if isinstance(module, Scaling):
            module.double()
            nn.init.normal_(module.raw, 9, 3)
            nn.init.normal_(module.shift)
        if isinstance(module, Rotation):
            module.matrix = torch.linalg.qr(module.matrix.double()).Q
    return part


def glow(channels: int, net: Callable[[int, int], nn.Module]) -> Coupling:
    return Coupling(channels, net, clamp=3.0, kind="arctan", both=True)


def one_way(channels: int, net: Callable[[int, int], nn.Module]) -> Coupling:
    return Coupling(channels, net, clamp=1.9, kind="tanh", damping=0.1)


CASES: dict[str, tuple[Callable[[], Bijection], list[tuple[int, ...]]]] = {
    "coupling of a vector": (lambda: one_way(5, vector_net), [(5,)]),
    "Glow coupling of a vector": (lambda: glow(5, vector_net), [(5,)]),
    "coupling of a map": (lambda: one_way(4, map_net), [(4, 3, 2)]),
    "Glow coupling of a map": (lambda: glow(3, map_net), [(3, 2, 3)]),
    "cross-scale": (lambda: glow(4, Crossed), [(4, 3, 4), (4, 2, 2)]),
    "scaling of a vector": (lambda: Scaling(5), [(5,)]),
    "scaling of scales": (lambda: Scaling(4), [(4, 3, 4), (4, 2, 2)]),
    "permutation": (lambda: Permutation(4, 2), [(4, 3, 2), (4, 2, 1)]),
    "rotation of a map": (lambda: Rotation(4), [(4, 3, 2)]),
    "flow of vectors": (
        lambda: Flow([glow(6, vector_net), Scaling(6), Rotation(6), one_way(6, vector_net), Permutation(6)]),
        [(6,)],
    ),
    "flow across scales": (lambda: Flow([Permutation(4, 2), glow(4, Crossed)] * 2), [(4, 2, 4), (4, 1, 2)]),
}


def split(flat: Tensor, shapes: list[tuple[int, ...]]) -> Maps:
    parts = flat.split([math.prod(shape) for shape in shapes])
    return [part.view(1, *shape) for part, shape in zip(parts, shapes, strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_log_determinant_is_that_of_the_jacobian(case) -> None:
    make, shapes = CASES[case]
    part = disturbed(make())
    x = torch.randn(sum(math.prod(shape) for shape in shapes), dtype=torch.float64)

    def flat(x: Tensor) -> Tensor:
        return torch.cat([map.flatten() for map in part(split(x, shapes))[0]])

    jacobian = torch.autograd.functional.jacobian(flat, x)
    _, log_det = part(split(x, shapes))
    log_det = log_det.detach()
    assert log_det.shape == (1,)
    assert float(log_det) == pytest.approx(float(torch.linalg.slogdet(jacobian).logabsdet), abs=1e-8)
    if "permutation" not in case and "rotation" not in case:
        assert abs(float(log_det)) > 1e-3, "a determinant of 1 would prove nothing"


@pytest.mark.parametrize("case", CASES)
def test_inverse_undoes_forward(case) -> None:
    make, shapes = CASES[case]
    part = disturbed(make())
    maps = [torch.randn(3, *shape, dtype=torch.float64) for shape in shapes]
    there, log_det = part(maps)
    assert log_det.shape == (3,)
    assert any((a - b).abs().max() > 1e-2 for a, b in zip(maps, there, strict=True))
    for back, map in zip(part.inverse(there), maps, strict=True):
        torch.testing.assert_close(back, map, rtol=1e-9, atol=1e-9)


def test_a_condition_is_needed_to_undo_the_coupling() -> None:
    """A condition moves what the coupling does and is needed to undo it."""
    coupling = Coupling(4, lambda i, o: vector_net(i + 3, o), clamp=1.9, kind="tanh")
    x, one, other = (torch.randn(5, n, dtype=torch.float64) for n in (4, 3, 3))
    (z,), log_det = coupling([x], one)
    assert not torch.allclose(log_det, coupling([x], other)[1])
    torch.testing.assert_close(coupling.inverse([z], one)[0], x)
    assert not torch.allclose(coupling.inverse([z], other)[0], x)


def test_the_coupling_written_out() -> None:
    """The second half is moved first and then moves the first half: by hand, number by number."""
    coupling = glow(5, vector_net).requires_grad_(False)
    x = torch.randn(5, dtype=torch.float64)
    said = coupling.to_first.net(x[None, 3:])[0]
    first = [
        float(x[i]) * math.exp(3 * 2 / math.pi * math.atan(float(said[i]) / 3)) + float(said[3 + i]) for i in range(3)
    ]
    said = coupling.to_second.net(torch.tensor([first], dtype=torch.float64))[0]
    second = [
        float(x[3 + i]) * math.exp(3 * 2 / math.pi * math.atan(float(said[i]) / 3)) + float(said[2 + i])
        for i in range(2)
    ]
    torch.testing.assert_close(coupling([x[None]])[0][0][0], torch.tensor(first + second, dtype=torch.float64))


def test_damping_and_clamp_of_the_one_way_coupling() -> None:
    coupling = one_way(4, vector_net).requires_grad_(False)
    x = torch.randn(4, dtype=torch.float64)
    said = 0.1 * coupling.to_second.net(x[None, :2])[0]
    second = [float(x[2 + i]) * math.exp(1.9 * math.tanh(float(said[i]))) + float(said[2 + i]) for i in range(2)]
    expected = torch.tensor([*x[:2].tolist(), *second], dtype=torch.float64)
    torch.testing.assert_close(coupling([x[None]])[0][0][0], expected)


@pytest.mark.parametrize("kind", ["arctan", "tanh"])
def test_clamps_bend_into_their_limits(kind) -> None:
    s = torch.linspace(-1000, 1000, 2001, dtype=torch.float64)
    bent = soft_clamp(s, 1.9, kind)
    assert float(bent.abs().max()) <= 1.9
    assert float(bent[-1]) == pytest.approx(1.9, rel=2e-3)
    assert (bent.diff() >= 0).all()
    torch.testing.assert_close(bent, -bent.flip(0))
    assert float(soft_clamp(torch.tensor(0.01), 3.0, "arctan")) == pytest.approx(0.636 * 0.01, rel=1e-2)


def test_scaling_starts_as_the_identity() -> None:
    maps = [torch.randn(2, 3, 4, 4)]
    (z,), log_det = Scaling(3)(maps)
    torch.testing.assert_close(z, maps[0])
    torch.testing.assert_close(log_det, torch.zeros(2), atol=1e-4, rtol=0)


def test_rotations_are_orthogonal_and_permutations_complete() -> None:
    """Rotations are orthogonal and permutations complete and each its own."""
    matrix = Rotation(16).matrix
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(16), atol=1e-5, rtol=0)
    orders = Permutation(16, 3).orders
    assert all(sorted(order.tolist()) == list(range(16)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_surprise_is_minus_the_log_density() -> None:
    """Surprise is minus the normal density through the change of variables."""
    flow = disturbed(Flow([glow(4, Crossed)])).requires_grad_(False)
    maps = [torch.randn(2, 4, 3, 4, dtype=torch.float64), torch.randn(2, 4, 2, 2, dtype=torch.float64)]
    z, log_det = flow(maps)
    normal = torch.distributions.Normal(0.0, 1.0)
    for i in range(2):
        density = sum(float(normal.log_prob(map[i]).sum()) for map in z) + float(log_det[i])
        constant = 0.5 * (48 + 16) * math.log(2 * math.pi)
        assert float(surprise(z, log_det)[i]) == pytest.approx(-density - constant, rel=1e-6)
