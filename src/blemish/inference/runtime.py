"""Runtime: inspection with an exported file. NumPy, OpenCV and ONNX Runtime (or OpenVINO) suffice; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blemish.core.errors import FormatError
from blemish.core.inputs import KINDS, Inputs
from blemish.inference.inspection import Inspection
from blemish.inference.metadata import Exported
from blemish.inference.raw import RawScores
from blemish.inference.sessions import open_session

__all__ = ["Runtime"]


class Runtime(Inspection):
    """An exported inspector: `inspect`, `stream` and `calibrate` are the very code that `Inspector` runs.

    Args:
        path: Exported model, .onnx or .xml.
        engine: "onnxruntime", "openvino", or "auto" by the file's suffix.
        threads: Cores one image may use; None for all.
        providers: For ONNX Runtime, such as ["CUDAExecutionProvider"]; by default the CPU.
        device: For OpenVINO, such as "GPU"; by default "CPU".

    Raises:
        FormatError: the file is absent, damaged, or was not exported by blemish.
        UnknownName: there is no such engine, provider or device here.
        MissingExtra: the engine is not installed.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        engine: str = "auto",
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        self.path = Path(path)
        self._session = open_session(self.path, engine, threads=threads, providers=providers, device=device)
        self.exported = Exported.from_texts(self._session.texts, self.path)
        if "score" not in self._session.outputs:
            raise FormatError(
                f"{self.path} computes {', '.join(sorted(self._session.outputs))}, and no 'score': the network is not the "
                "one that was exported. Export it again with `blemish export`."
            )
        self.imaging, self.calibration = self.exported.imaging, self.exported.calibration
        self.provenance = self.exported.provenance

    @property
    def inputs(self) -> tuple[str, ...]:
        """The kinds of input that the network looks at."""
        return self.exported.inputs

    def score(self, inputs: Inputs) -> RawScores:
        """Return raw scores and maps, of the parts and of the branches, of prepared parts; see `Inspection.score`."""
        found = self._session.run({name: np.ascontiguousarray(inputs[name], np.float32) for name in self.inputs})
        branches = {
            name: RawScores(found[f"branch.{name}.score"].astype(np.float64), found.get(f"branch.{name}.map"))
            for name in self.exported.branches
        }
        return RawScores(found["score"].astype(np.float64), found.get("map"), branches)

    def warm_up(self, batch_size: int = 1) -> None:
        """Score one synthetic batch, so that the first part is not slower than the others.

        Args:
            batch_size: Parts in that batch.
        """
        self.score(plain_inputs(self, batch_size))

    @property
    def backbones(self) -> dict[str, str]:
        """The SHA-256 of the weights of every frozen network that was exported, by its position in the detector."""
        return self.exported.backbones

    @property
    def settings(self) -> dict[str, Any]:
        """The file's own description of the model, as JSON values."""
        exported = self.exported
        return {
            "method": exported.method,
            "precision": exported.precision,
            "params": exported.params,
            "backbones": exported.backbones,
            "versions": exported.versions,
        }


def plain_inputs(inspection: Inspection, batch_size: int) -> Inputs:
    """Return inputs without any content, for timing.

    Args:
        inspection: The model; its inputs have pixels.
        batch_size: Parts in the batch.

    Returns:
        (B, C, h, w) float32 by kind, 0.5 everywhere.
    """
    size = inspection.imaging.input_size
    return {name: np.full((batch_size, KINDS[name].channels, *size), 0.5, np.float32) for name in inspection.inputs}
