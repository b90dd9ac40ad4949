"""Methods at the small size that their own test files declare: TINY, fitted in about a second on a CPU, no downloads."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from blemish.core import registry
from blemish.core.detector import Detector


@cache
def own_tests(name: str) -> ModuleType:
    """Return a method's own test file, loaded."""
    path = Path(__file__).parent / "models" / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"tiny_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(name: str, **changes: object) -> Detector:
    """Return an unfitted method with the parameters of TINY."""
    return registry.method(name)(**{**own_tests(name).TINY, **changes})


def brief(name: str, **changes: object) -> Detector:
    """Return `make(name, **changes)` that takes two steps in each training: enough where its result does not matter."""
    trainings = {"steps", "encoder_steps", "teacher_steps"} & make(name).params.keys()
    return make(name, **{**dict.fromkeys(trainings, 2), **changes})
