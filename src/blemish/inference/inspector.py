"""Inspector: imaging + detector + threshold. It inspects parts; it is what is saved, exported and served.

It is one safetensors file: the detector's tensors, and in the header how images are prepared, how the threshold was
chosen, the hash of the frozen backbone and the versions that wrote it.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

import blemish
from blemish.core.detector import Detector, read_saved
from blemish.core.errors import FormatError, UnknownName
from blemish.core.files import from_json
from blemish.core.registry import method
from blemish.features import Features
from blemish.features.frozen import Precision
from blemish.imaging.images import Imaging
from blemish.inference.calibration import Calibration
from blemish.inference.inspection import Inspection, respelled
from blemish.training.device import choose_device, device_of

FORMAT = 2
"""The version of the saved file. A reader refuses what is newer than itself; 1 spelled two names otherwise."""


class Inspector(Inspection):
    """A fitted detector, the way to prepare its images, and a threshold (or none yet), kept in one file.

    Args:
        detector: A fitted detector; it is put into evaluation mode.
        imaging: How its images are prepared.
        calibration: The threshold and its guarantee; without it nothing is decided.
        about: What the model was made from, as JSON values; see `Inspection`.

    Raises:
        NotFitted: the detector is not fitted.
    """

    def __init__(
        self,
        detector: Detector,
        imaging: Imaging,
        calibration: Calibration | None = None,
        about: dict[str, Any] | None = None,
    ) -> None:
        detector.require_fit()
        self.detector, self.imaging, self.calibration = detector.eval(), imaging, calibration
        self.about = about or {}

    def save(self, path: Path | str) -> Path:
        """Write everything to one safetensors file, atomically.

        Args:
            path: File to write.

        Returns:
            The file written.

        Raises:
            StorageError: the file cannot be written.
        """
        header = {
            "blemish": blemish.__version__,
            "format": str(FORMAT),
            "imaging": json.dumps(self.imaging.as_dict()),
            "calibration": json.dumps(None if self.calibration is None else self.calibration.as_dict()),
            "backbones": json.dumps(self.backbones),
            "about": json.dumps(self.about, default=str),
            "versions": json.dumps({"python": platform.python_version(), "torch": torch.__version__}),
        }
        return self.detector.save(path, header)

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> Inspector:
        """Rebuild an inspector from the file that `save` wrote.

        Args:
            path: File to read.
            device: "cpu", "cuda:0", or "auto": a CUDA GPU if there is one.

        Returns:
            The inspector, on that device.

        Raises:
            FormatError: the file is absent, damaged, not ours, from a newer version, or its backbone is not the one it
                was saved with.
            InputError: there is no such device.
        """
        header, _ = read_saved(path, tensors=False)
        if "format" not in header or "detector" not in header:
            raise FormatError(
                f"{path} is not a blemish inspector: its header says nothing of one. Make one: `blemish fit`."
            )
        if header["format"] not in map(str, range(FORMAT + 1)):
            raise FormatError(
                f"{path} has format {header['format']}, written by blemish {header.get('blemish', '?')}; this is "
                f"{blemish.__version__}, which reads up to {FORMAT}. Upgrade: pip install -U blemish"
            )
        detector = method(header["detector"]).load(path).to(choose_device(device))
        try:
            imaging, stored, backbones = (from_json(header[name]) for name in ("imaging", "calibration", "backbones"))
            about = from_json(header.get("about", "{}"))
            if not isinstance(about, dict):
                raise TypeError(f"about is {type(about).__name__}, not an object")
            about = respelled(about)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path} has a damaged header: {error}. Restore it from a copy, or fit again.") from error
        calibration = None if stored is None else Calibration.from_dict(stored)
        inspector = cls(detector, Imaging.from_dict(imaging), calibration, about)
        if inspector.backbones != backbones:
            raise FormatError(
                f"{path}: the backbone's weights are not those it was saved with. Restore it from a copy."
            )
        return inspector

    def accelerate(self, *, precision: Precision = "float32", compiled: bool = False) -> Self:
        """Make the frozen networks faster from now on; this is not saved.

        Args:
            precision: "float32", or "bfloat16" for half precision where the processor gains by it. Scores then differ
                by about a hundredth from those that the threshold was chosen on: `calibrate` again afterwards.
            compiled: Whether torch compiles the networks, which takes a while at the first image of each batch size and
                needs a C++ compiler.

        Returns:
            This inspector.

        Raises:
            UnknownName: there is no such precision.
        """
        if precision not in ("float32", "bfloat16"):
            raise UnknownName("precision", precision, ("float32", "bfloat16"))
        for module in self.detector.modules():
            if isinstance(module, Features):
                module.precision = precision
                if compiled:
                    module.net.compile()
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The detector's class and hyper-parameters."""
        return {"method": type(self.detector).__name__, "params": self.detector.params}

    @property
    def backbones(self) -> dict[str, str]:
        """The SHA-256 of the weights of every frozen network inside, by its position in the detector."""
        return {name: m.sha256 for name, m in self.detector.named_modules() if isinstance(m, Features)}

    def score(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """Return raw scores (B,) and maps (B, h, w), or None without maps, of prepared images (B, h, w, 3)."""
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        with torch.inference_mode():
            scores = self.detector(batch.to(device_of(self.detector)))
        values = scores.image.double().cpu().numpy()
        return values, None if scores.map is None else scores.map.float().cpu().numpy()
