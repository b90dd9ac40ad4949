"""What every method guarantees, checked for each one that the catalogue finds, with TINY of its own test file."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest
import torch

from blemish.core import registry
from blemish.core.detector import Detector
from blemish.core.errors import FormatError, InputError, NotFitted
from blemish.metrics import auroc
from parts import Parts, deface, stripes
from tiny import brief, make, own_tests

SIZE = (64, 64)


_fitted: dict[str, Detector] = {}


@pytest.fixture(params=registry.methods())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fitted(name: str) -> Detector:
    if name not in _fitted:
        _fitted[name] = make(name).fit(Parts(stripes(24, SIZE, seed=0)))
    return _fitted[name]


def answer(detector: Detector, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    with torch.inference_mode():
        return detector(images)[:2]


def test_one_file_one_card_one_test(name) -> None:
    module = inspect.getmodule(registry.method(name))
    assert module is not None
    assert module.__doc__
    assert len(module.__doc__) > 300, "the docstring tells the idea, how it works, and where it differs"
    card = registry.method_card(name)
    assert card == module.CARD
    assert card.name == registry.method(name).__name__
    assert card.paper.title
    assert card.paper.year > 2000
    assert card.paper.url.startswith("https://")
    assert card.reported


def test_params_are_plain_and_rebuild_the_detector(name) -> None:
    detector = make(name)
    assert json.loads(json.dumps(detector.params)) == detector.params
    assert {k: detector.params[k] for k in own_tests(name).TINY} == own_tests(name).TINY
    assert type(detector)(**detector.params).params == detector.params
    for parameter in list(inspect.signature(type(detector).__init__).parameters.values())[1:]:
        assert parameter.default is not parameter.empty, f"{parameter.name} needs a default"


def test_unfitted_says_so(name) -> None:
    detector = make(name)
    if detector.fitted:
        pytest.skip("this method has nothing to learn")
    with pytest.raises(NotFitted, match="not fitted: call fit"):
        detector(stripes(1, SIZE, 0))
    with pytest.raises(NotFitted):
        detector.save("never.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_shapes_and_kinds(fitted, count) -> None:
    images = stripes(count, SIZE, seed=9)
    before = images.clone()
    score, map = answer(fitted, images)
    assert score.shape == (count,)
    assert score.isfinite().all()
    assert torch.equal(images, before), "forward must not write into its input"
    if map is not None:
        assert map.shape == (count, *SIZE)
        assert map.isfinite().all()
        assert map.is_floating_point()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(96, 160), (40, 72)])
def test_other_sizes_of_image_work_or_are_refused(name, fitted, size) -> None:
    """A method that knows one size only declares ONE_SIZE, a part of its refusal, in its own test file."""
    images, refusal = stripes(2, size, seed=9), getattr(own_tests(name), "ONE_SIZE", None)
    if refusal is not None:
        with pytest.raises(InputError, match=refusal):
            answer(fitted, images)
        return
    score, map = answer(fitted, images)
    assert score.shape == (2,)
    assert score.isfinite().all()
    assert map is None or map.shape == (2, *size)


@pytest.mark.slow
def test_scores_do_not_depend_on_the_company(fitted) -> None:
    images = torch.cat([stripes(3, SIZE, seed=5), deface(stripes(2, SIZE, seed=6), 0)[0]])
    together, maps = answer(fitted, images)
    for i, image in enumerate(images):
        alone, map = answer(fitted, image[None])
        torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)
        if map is not None and maps is not None:
            torch.testing.assert_close(map[0], maps[i], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_fit_returns_self_and_leaves_nothing_in_train_mode(name) -> None:
    detector = brief(name)
    assert detector.fit(Parts(stripes(16, SIZE, seed=0))) is detector
    assert detector.fitted
    assert not any(tensor.is_inference() for tensor in detector.state_dict().values())
    detector.adopt(detector)
    assert not any(module.training for module in detector.modules() if module is not detector)


@pytest.mark.slow
def test_same_seed_same_scores(name) -> None:
    images = stripes(4, SIZE, seed=11)
    one = brief(name).fit(Parts(stripes(24, SIZE, seed=0)))
    torch.manual_seed(1234)  # the world's random state must not matter
    two = brief(name).fit(Parts(stripes(24, SIZE, seed=0)))
    torch.testing.assert_close(answer(two, images)[0], answer(one, images)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_saved_and_loaded_answers_the_same(name, fitted, tmp_path) -> None:
    path = fitted.save(tmp_path / "d.safetensors")
    loaded = type(fitted).load(path)
    images = deface(stripes(3, SIZE, seed=3), 1)[0]
    assert loaded.params == fitted.params
    for one, two in zip(answer(loaded, images), answer(fitted, images), strict=True):
        assert (one is None and two is None) or torch.equal(one, two)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match="not a readable safetensors"):
        type(fitted).load(path)


def test_what_are_no_images_is_said_before_anything_is_computed(name) -> None:
    detector, images = make(name), stripes(1, SIZE, seed=9)
    for spoilt, said in [
        ((images * 255).byte(), r"holds torch.uint8 values.*image.float\(\) / 255"),
        (images[0], r"has shape \(3, 64, 64\).*image\[None\]"),
        (images[:, :1], r"has shape \(1, 1, 64, 64\).*must be \(B, 3, height, width\)"),
        (images.permute(0, 2, 3, 1), r"has shape \(1, 64, 64, 3\).*Channels come second"),
        (images.numpy(), r"image is ndarray.*Inspector"),
    ]:
        with pytest.raises(InputError, match=said):
            detector(spoilt)
        with pytest.raises(InputError, match=said):
            detector(image=spoilt)


def turned(images: torch.Tensor) -> torch.Tensor:
    """The same parts turned by 90 degrees: the same colours, another pattern, no seam anywhere."""
    return images.transpose(2, 3).flip(2)


@pytest.mark.slow
def test_learning_happens(name, fitted) -> None:
    """Fitted on good parts it tells defaced ones apart, and what it learned is why.

    A method that is trained (it has `steps`) must do so clearly better than itself after one step: by the mean of image and
    pixel AUROC, the margin being .1, or the MARGIN of the method's own test file. Another must find whole turned parts odd,
    and, fitted on turned parts, find the others odd instead.
    """
    good, (bad, masks) = stripes(20, SIZE, seed=21), deface(stripes(20, SIZE, seed=22), 7)
    labels, truth = [0] * 20 + [1] * 20, torch.cat([torch.zeros_like(masks), masks]).numpy()

    def quality(detector: Detector) -> tuple[float, float]:
        score, map = answer(detector, torch.cat([good, bad]))
        image = auroc(labels, score.numpy())
        return image, image if map is None else auroc(truth, map.numpy())

    assert quality(fitted)[0] >= 0.9
    if "steps" in fitted.params:
        hardly = make(name, steps=1).fit(Parts(stripes(24, SIZE, seed=0)))
        assert np.mean(quality(fitted)) >= np.mean(quality(hardly)) + getattr(own_tests(name), "MARGIN", 0.1)
    else:
        astray, both = make(name).fit(Parts(turned(stripes(24, SIZE, seed=0)))), torch.cat([good, turned(good)])
        assert auroc(labels, answer(fitted, both)[0].numpy()) >= 0.95
        assert auroc(labels, answer(astray, both)[0].numpy()) <= 0.05
    score, map = answer(fitted, bad)
    assert len(score.unique()) > 10, "scores must differ from part to part"
    if map is not None:
        inside = (map * masks).flatten(1).sum(1) / masks.flatten(1).sum(1)
        outside = (map * ~masks).flatten(1).sum(1) / (~masks).flatten(1).sum(1)
        assert (inside > outside).float().mean() >= 0.9, "the map must be higher on the defect"


def test_nothing_to_learn_from(name) -> None:
    detector = make(name)
    if detector.fitted:
        pytest.skip("this method has nothing to learn")
    with pytest.raises(InputError, match=r"(?i)image"):
        detector.fit([])


@pytest.mark.slow
def test_frozen_parts_stay_frozen(fitted) -> None:
    from blemish.features import Features

    for module in fitted.modules():
        if isinstance(module, Features):
            assert not any(p.requires_grad for p in module.parameters())
            module.train()
            assert not any(m.training for m in module.modules())


def test_numbers_that_are_none_are_refused_at_once(name) -> None:
    made = registry.method(name)
    floats = [each.name for each in inspect.signature(made).parameters.values() if isinstance(each.default, float)]
    assert floats
    for key in floats:
        for value in (math.nan, math.inf):
            with pytest.raises(InputError, match=f"{key} is {value}; it must be a finite number"):
                made(**{key: value})
