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

import blemish
from blemish.core.detector import Detector
from blemish.core.errors import FormatError, UnknownName
from blemish.core.files import from_json
from blemish.core.inputs import Inputs
from blemish.core.registry import saved_method
from blemish.core.saved import read_saved
from blemish.core.types import Scores
from blemish.features import Features
from blemish.features.frozen import Precision
from blemish.imaging.images import Imaging
from blemish.inference.calibration import Calibration
from blemish.inference.inspection import Inspection
from blemish.inference.provenance import Provenance
from blemish.inference.raw import RawScores
from blemish.training.device import choose_device, device_of

FORMAT = 3
"""The version of the saved file. A reader refuses what is newer than itself; 1 and 2 called the provenance "about"."""


class Inspector(Inspection):
    """A fitted detector, the way to prepare its images, and a threshold (or none yet), kept in one file.

    Args:
        detector: A fitted detector; it is put into evaluation mode.
        imaging: How its images are prepared.
        calibration: The threshold and its guarantee; without it nothing is decided.
        provenance: What the model was made from.

    Raises:
        NotFitted: the detector is not fitted.
    """

    def __init__(
        self,
        detector: Detector,
        imaging: Imaging,
        calibration: Calibration | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        detector.require_fit()
        self.detector, self.imaging, self.calibration = detector.eval(), imaging, calibration
        self.provenance = provenance or Provenance()

    def save(self, path: Path | str, *, embed: bool = False) -> Path:
        """Write everything to one safetensors file, atomically.

        Frozen networks above `blemish.features.weights.LIMIT` are named with their hash, not copied.

        Args:
            path: File to write.
            embed: Whether large frozen networks are copied into the file as well.

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
            "networks": json.dumps({n: m.record for n, m in self.detector.named_modules() if isinstance(m, Features)}),
            "provenance": json.dumps(self.provenance.as_dict(), default=str),
            "versions": json.dumps({"python": platform.python_version(), "torch": torch.__version__}),
        }
        return self.detector.save(path, header, embed=embed)

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: str = "cpu",
        *,
        weights: Path | str | None = None,
        method: str | type[Detector] | None = None,
    ) -> Inspector:
        """Rebuild an inspector from the file that `save` wrote.

        Args:
            path: File to read.
            device: "cpu", "cuda:0", or "auto": a CUDA GPU if there is one.
            weights: File or folder of the frozen networks that the file names; None searches BLEMISH_WEIGHTS and the
                hub's cache.
            method: The method that the file is to hold, "package.module:Class" or the class. A method that is neither
                ours nor registered by its package must be asked for: a file decides nothing about what is imported.

        Returns:
            The inspector, on that device.

        Raises:
            FormatError: the file is absent, damaged, not ours, from a newer version, or its backbone is not the one it
                was saved with.
            InputError: there is no such device.
            UnknownName: the method is not known here.
            WeightsError: a frozen network that the file names cannot be found, or is another one.
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
        detector = saved_method(header["detector"], path, method).load(path, weights).to(choose_device(device))
        try:
            imaging, stored, backbones = (from_json(header[name]) for name in ("imaging", "calibration", "backbones"))
            provenance = Provenance.from_dict(from_json(header.get("provenance", header.get("about", "{}"))))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path} has a damaged header: {error}. Restore it from a copy, or fit again.") from error
        calibration = None if stored is None else Calibration.from_dict(stored)
        inspector = cls(detector, Imaging.from_dict(imaging), calibration, provenance)
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
        return {"method": self.detector.reference(), "params": self.detector.params}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The kinds of input that the detector looks at."""
        return self.detector.inputs

    @property
    def backbones(self) -> dict[str, str]:
        """The SHA-256 of the weights of every frozen network inside, by its position in the detector."""
        return {name: m.sha256 for name, m in self.detector.named_modules() if isinstance(m, Features)}

    def score(self, inputs: Inputs) -> RawScores:
        """Return raw scores and maps, of the parts and of the branches, of prepared parts; see `Inspection.score`."""
        device = device_of(self.detector)
        given = {
            name: torch.from_numpy(value).to(device) if isinstance(value, np.ndarray) else value
            for name, value in inputs.items()
            if name in self.inputs
        }
        with torch.inference_mode():
            return _as_arrays(self.detector(**given))


def _as_arrays(scores: Scores) -> RawScores:
    return RawScores(
        scores.image.double().cpu().numpy(),
        None if scores.map is None else scores.map.float().cpu().numpy(),
        {name: _as_arrays(branch) for name, branch in scores.branches.items()},
        scores.words,
    )
