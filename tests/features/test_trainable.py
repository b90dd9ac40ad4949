"""A trainable network: the frozen one's weights and normalisation, but it learns and obeys train()."""

import pytest
import torch
from torch import nn

from blemish.core.errors import UnknownName
from blemish.features import extractor
from blemish.features.trainable import trainable


@pytest.mark.parametrize(("backbone", "pretrained"), [("texnet_s", True), ("resnet18", False)])
def test_the_same_maps_as_the_frozen_network(backbone, pretrained) -> None:
    image = torch.rand(2, 3, 64, 64)
    frozen = extractor(backbone, [8, 16], pretrained=pretrained)
    free = trainable(backbone, [8, 16], pretrained=pretrained).eval()
    for one, two in zip(free(image), frozen(image), strict=True):
        torch.testing.assert_close(one, two)
    assert free.channels == frozen.channels
    assert free.strides == (8, 16)


@pytest.mark.parametrize("backbone", ["texnet_s", "resnet18"])
def test_everything_learns(backbone) -> None:
    free = trainable(backbone, [16], pretrained=False)
    assert free.training
    norms = [m for m in free.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms, "from random weights only a network with batch norms learns"
    before = norms[0].running_mean.clone()
    free(torch.rand(2, 3, 64, 64))[0].square().mean().backward()
    assert all(p.grad is not None for p in free.parameters())
    assert float(next(iter(free.parameters())).grad.abs().sum()) > 0, "down to the first layer"
    assert not torch.equal(norms[0].running_mean, before)
    assert not any(m.training for m in free.eval().modules())


def test_a_student_has_its_teachers_shapes() -> None:
    """A student has the shapes of its teacher which stays frozen."""
    teacher = extractor("texnet_s", [4, 8, 16])
    student = trainable("texnet_s", teacher.layers, pretrained=False)
    image = torch.rand(2, 3, 64, 48)
    assert [m.shape for m in student(image)] == [m.shape for m in teacher(image)]
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())


def test_training_does_not_touch_the_next_network() -> None:
    free = trainable("texnet_s", [8])
    with torch.no_grad():
        for parameter in free.parameters():
            parameter.zero_()
    assert float(trainable("texnet_s", [8], pretrained=True)(torch.rand(1, 3, 32, 32))[0].detach().abs().sum()) > 0


@pytest.mark.parametrize("backbone", ["texnet_s", "resnet18"])
def test_the_seed_alone_decides_random_weights(backbone) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        return trainable(backbone, [8], pretrained=False, seed=seed).state_dict()

    torch.manual_seed(7)
    one = weights(5)
    torch.manual_seed(8)
    same, other = weights(5), weights(6)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_unknown_names_are_suggested() -> None:
    with pytest.raises(UnknownName, match="Did you mean"):
        trainable("resnet_18", [8], pretrained=False)
