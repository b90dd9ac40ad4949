"""A twin has its counterpart's shapes, other weights, and gradients."""

import pytest
import torch

from blemish.features import extractor, twin


@pytest.mark.parametrize(("backbone", "layers"), [("texnet_s", [4, 8, 16]), ("resnet18", ["layer1", "layer3"])])
def test_a_twin_is_the_same_network_to_be_trained(backbone, layers) -> None:
    frozen = extractor(backbone, layers, pretrained=backbone == "texnet_s")
    student = twin(backbone, frozen, seed=1)
    image = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    maps = student(image)
    assert [m.shape for m in maps] == [m.shape for m in frozen(image)]
    torch.stack([m.square().mean() for m in maps]).sum().backward()
    assert all(p.requires_grad and p.grad is not None for p in student.parameters())
    assert student.training
    assert not student.eval().training
    assert not frozen.training
    assert not any(p.requires_grad for p in frozen.parameters())


def test_the_seed_alone_decides_the_weights() -> None:
    frozen = extractor("texnet_s", [4])
    torch.manual_seed(3)
    one = twin("texnet_s", frozen, seed=5).net.state_dict()
    torch.manual_seed(4)
    again, other = (twin("texnet_s", frozen, seed=seed).net.state_dict() for seed in (5, 6))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["stem.0.weight"], other["stem.0.weight"])
    assert not torch.equal(one["stem.0.weight"], frozen.net.state_dict()["stem.0.weight"])


def test_the_input_is_normalised_as_the_counterpart_does() -> None:
    frozen = extractor("resnet18", [4], pretrained=False)
    student = twin("resnet18", frozen).eval()
    student.net.load_state_dict(frozen.net.state_dict())
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(student(image)[0], frozen(image)[0])
