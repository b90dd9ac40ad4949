"""What decides the result of a phase: two that agree in it come to the same weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blemish.core.detector import Detector
from blemish.core.differences import differences
from blemish.core.errors import InputError
from blemish.training.optimise import Phase
from blemish.training.processes import processes


def fingerprint(phase: Phase, fit: Mapping[str, Any], precision: str, validation: Sequence[int]) -> dict[str, Any]:
    """Return what decides the result of a phase, in plain values, as it is before the first step."""
    module, optimisers = phase.module, [turn.optimiser for turn in phase.turns]
    groups = [[type(each).__name__, each.state_dict()["param_groups"]] for each in optimisers]
    found = {
        "fit": dict(fit),
        "module": type(module).__name__,
        "params": module.params if isinstance(module, Detector) else phase.settings,
        "label": phase.label,
        "steps": phase.steps,
        "every": [turn.every for turn in phase.turns],
        "clip": phase.clip,
        "precision": precision,
        "processes": processes(),
        "validation": list(validation),
        "optimisers": groups,
        "schedules": [type(turn.schedule).__name__ for turn in phase.turns],
        "shapes": {name: str(tuple(tensor.shape)) for name, tensor in module.state_dict().items()},
    }
    within = {id(parameter) for parameter in module.parameters()}
    if any(id(p) not in within for each in optimisers for group in each.param_groups for p in group["params"]):
        raise InputError(f"{phase.label}: an optimiser lowers parameters that {found['module']} does not hold")
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def same(there: dict[str, Any], here: dict[str, Any], path: Path) -> None:
    """Raise InputError where two plans differ."""
    if shown := differences(there, here):
        raise InputError(f"{path} is of another training: {shown}. Give another folder, or delete this one.")
