"""The fingerprint of a phase, all that decides its result: two phases with the same one reach the same weights."""

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
    """Return what decides the result of a phase, in plain values.

    Args:
        phase: The phase, before its first step.
        fit: The session's settings.
        precision: "float32" or "bfloat16".
        validation: Patience, and steps between two checks; empty without early stopping.

    Returns:
        The fingerprint: JSON values by name.

    Raises:
        InputError: an optimiser changes parameters that the phase's module does not hold.
    """
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
    """Check that a checkpoint's fingerprint is that of the present phase.

    Args:
        there: The checkpoint's fingerprint.
        here: The phase's fingerprint.
        path: The checkpoint's file, for the message.

    Raises:
        InputError: they differ.
    """
    if shown := differences(there, here):
        raise InputError(f"{path} is of another training: {shown}. Give another folder, or delete this one.")
