"""What a training session promises, for every method that is trained: resumed bit for bit, stopped early, not mixed up."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from blemish.core import registry
from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.training.session import session
from parts import Parts, Torn, stripes
from tiny import make

pytestmark = pytest.mark.slow

STEPS = ("steps", "encoder_steps", "teacher_steps")
TRAINED = [name for name in registry.methods() if "steps" in make(name).params]
GOOD = stripes(12, (64, 64), seed=0)


def fit(name: str, folder: Path, data: Parts | Torn, **changes: object) -> Detector:
    steps = {step: 3 for step in STEPS if step in make(name).params}
    validation = Parts(stripes(4, (64, 64), seed=1))
    with warnings.catch_warnings(), session(folder, validation=validation, check_every=1):
        warnings.filterwarnings("ignore", ".*is not stopped early")  # adversaries
        return make(name, **steps, **changes).fit(data)


@pytest.mark.parametrize("name", TRAINED)
def test_resumed_bit_for_bit_and_another_training_is_refused(name, tmp_path) -> None:
    whole = fit(name, tmp_path / "whole", Parts(GOOD))
    with pytest.raises(KeyboardInterrupt):
        fit(name, tmp_path / "torn", Torn(Parts(GOOD), at=3))
    again = fit(name, tmp_path / "torn", Parts(GOOD))
    state = again.state_dict()
    assert [key for key, value in whole.state_dict().items() if not torch.equal(value, state[key])] == []
    with pytest.raises(InputError, match="is of another training"):
        fit(name, tmp_path / "torn", Parts(GOOD), seed=make(name).params["seed"] + 1)


@pytest.mark.parametrize("name", ["anogan", "fanogan"])
def test_adversaries_say_that_they_are_not_stopped_early(name) -> None:
    with pytest.warns(UserWarning, match=r"is not stopped early.*takes all of its"), session(validation=Parts(GOOD)):
        make(name, **{step: 1 for step in STEPS if step in make(name).params}).fit(Parts(GOOD))
