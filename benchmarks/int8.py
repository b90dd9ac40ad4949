"""Where int8 takes the ranges of its activations from: good parts alone, or with damaged copies of them.

    python benchmarks/int8.py --data FOLDER [--method patchcore] [--image-size 256]

FOLDER is in MVTec's layout. Prints, for both, the largest change of a test part's score as a share of the largest score,
the correlation with the scores in float32, and the image AUROC. Test parts choose nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import shape_inference

from blemish.core import registry
from blemish.data import Folder
from blemish.export import to_onnx
from blemish.export.precision import _quantise, _scores, damaged
from blemish.inference.inspector import Inspector
from blemish.metrics import auroc
from blemish.training.random_state import seeded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder in MVTec's layout")
    parser.add_argument("--method", default="patchcore")
    parser.add_argument("--image-size", type=int, default=256)
    given = parser.parse_args()
    data = Folder(given.data, image_size=given.image_size, holdout=0.0)
    with seeded(0):
        model = registry.method(given.method)().fit(data.train())
    inspector = Inspector(model, data.imaging)
    good, test = (
        [data.imaging(record.image).transpose(2, 0, 1) for record in records]
        for records in (data.train_records[:32], data.test_records)
    )
    labels = np.array([record.label for record in data.test_records])
    with tempfile.TemporaryDirectory() as folder:
        whole, ready, small = (Path(folder) / f"{name}.onnx" for name in ("whole", "ready", "small"))
        onnx.save(to_onnx(inspector), whole)
        shape_inference.quant_pre_process(str(whole), str(ready), skip_symbolic_shape=True)
        truth = _scores(ready, test)
        print(f"float32: image AUROC {auroc(labels, truth):.4f}, {len(test)} test parts")
        for name, images in (("good parts", good), ("with damaged copies", [*good, *damaged(good)])):
            _quantise(ready, small, images, ())
            scores = _scores(small, test)
            change = np.abs(scores - truth).max() / np.abs(truth).max()
            alike = np.corrcoef(scores, truth)[0, 1]
            print(f"{name:<20} change {change:.4f}, correlation {alike:.4f}, image AUROC {auroc(labels, scores):.4f}")


if __name__ == "__main__":
    main()
