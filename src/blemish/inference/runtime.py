"""Runtime: inspection with an exported file. NumPy, OpenCV and ONNX Runtime (or OpenVINO) suffice; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import FormatError
from blemish.inference.inspection import Inspection, respelled
from blemish.inference.metadata import Exported
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
        self.about = respelled(self.exported.about)

    def score(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """Return raw scores (B,) and maps (B, h, w), or None without maps, of prepared images (B, h, w, 3)."""
        score, map = self._session.run(np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32))
        return score.astype(np.float64), map

    def warm_up(self, batch_size: int = 1) -> None:
        """Score one synthetic batch, so that the first image is not slower than the others.

        Args:
            batch_size: Images in that batch.
        """
        self.score(np.full((batch_size, *self.imaging.input_size, 3), 0.5, np.float32))

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
