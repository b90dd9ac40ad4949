"""RD4AD's loss and map against loops over images and places."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.features import extractor
from blemish.models import RD4AD
from blemish.models.rd4ad import never_negative
from parts import Parts, deface, stripes

TINY = {"layers": [4, 8], "blocks": [1, 1], "embedding_blocks": 1, "steps": 40}
SIZE = (64, 48)


@pytest.fixture(scope="module")
def fitted() -> RD4AD:
    return RD4AD(blocks=[1, 1, 1], embedding_blocks=1, steps=3).fit(Parts(stripes(8, SIZE, seed=0)))


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


def test_loss_takes_one_cosine_an_image_and_level(fitted) -> None:
    image = stripes(3, SIZE, seed=3)
    with torch.inference_mode():
        found = float(fitted.loss(Batch({"image": image})))
        levels = list(zip(*fitted.restore(image), strict=True))
    expected = sum(np.mean([1 - cosine(t[i].flatten(), s[i].flatten()) for i in range(3)]) for t, s in levels)
    assert len(levels) == 3
    assert found == pytest.approx(expected, rel=1e-4)


def test_map_is_the_smoothed_sum_of_the_levels_distances(fitted) -> None:
    image = deface(stripes(1, SIZE, seed=3), 0)[0]
    with torch.inference_mode():
        score, map = fitted(image)[:2]
        levels = list(zip(*fitted.restore(image), strict=True))
    total = np.zeros(SIZE)
    for t, s in levels:
        h, w = t.shape[2:]
        grid = torch.tensor([[1 - cosine(t[0, :, y, x], s[0, :, y, x]) for x in range(w)] for y in range(h)])
        total += torch.nn.functional.interpolate(grid[None, None], SIZE, mode="bilinear")[0, 0].numpy()
    np.testing.assert_allclose(map[0].numpy(), ndimage.gaussian_filter(total, 4), rtol=1e-3, atol=1e-4)
    assert float(score) == float(map.max())


def test_parameter_counts_that_the_docstring_gives() -> None:
    detector = RD4AD()
    assert sum(p.numel() for p in detector.embedding.parameters()) == 1_941_632
    assert sum(p.numel() for p in detector.decoder.parameters()) == 760_128
    levels, restored = detector.eval().restore(torch.rand(1, 3, 128, 160))
    assert [m.shape for m in levels] == [m.shape for m in restored]


def test_the_decoder_can_answer_what_its_teacher_answers() -> None:
    assert not never_negative(extractor("texnet_s", [4, 8, 16]))
    assert never_negative(extractor("resnet18", [4, 8, 16], pretrained=False))
    image = stripes(2, SIZE, seed=0)
    with torch.no_grad():
        assert min(float(m.min()) for m in RD4AD().restore(image)[1]) < 0
        assert min(float(m.min()) for m in RD4AD(backbone="resnet18", pretrained=False).restore(image)[1]) == 0


def test_only_the_bottleneck_and_the_decoder_learn() -> None:
    fresh = RD4AD(**{**TINY, "steps": 2})
    before = {k: v.clone() for k, v in fresh.state_dict().items()}
    after = fresh.fit(Parts(stripes(8, SIZE, seed=0))).state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("teacher."))
    trained = [k for k, p in fresh.named_parameters() if p.requires_grad]
    assert {k.partition(".")[0] for k in trained} == {"embedding", "decoder"}
    assert not any(torch.equal(before[k], after[k]) for k in trained)
    assert fresh.losses.shape == (2,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": [4, 16]},
        {"blocks": [1, 1]},
        {"blocks": [1, 0, 1]},
        {"embedding_blocks": 0},
        {"steps": 0},
        {"lr": -1.0},
        {"sigma": -1.0},
    ],
)
def test_impossible_parameters(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        RD4AD(**wrong)
