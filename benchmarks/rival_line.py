"""The rival's side of benchmarks/line.py: its own environment (anomalib==2.7.0 with openvino, nncf, onnx, onnxscript).

python rival_line.py make SETTINGS: its PatchCore with a given bank, its thresholds, exported; prints one line of JSON.
python rival_line.py cold MODEL IMAGE: one decision, from nothing.
python rival_line.py serve MODEL PRECISION: answers lines of JSON as line_ours.py does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def make(path):
    """Export its PatchCore as its documents say, with the memory bank that ours selected."""
    settings = json.loads(Path(path).read_text())
    import numpy as np
    import torch
    from anomalib.data import Folder
    from anomalib.deploy import CompressionType
    from anomalib.engine import Engine
    from anomalib.models import Patchcore

    from rival_side import weigh

    root, out = Path(settings["data"]), Path(settings["out"])
    kinds = sorted(p.name for p in (root / "test").iterdir() if p.name != "good")

    def parts():
        return Folder(
            name="line",
            root=root,
            normal_dir="train/good",
            normal_test_dir="test/good",
            abnormal_dir=[f"test/{kind}" for kind in kinds],
            mask_dir=[f"ground_truth/{kind}" for kind in kinds],
            val_split_mode="same_as_test",
            eval_batch_size=1,
            num_workers=0,
        )

    model = Patchcore(
        backbone="mobilenetv2_100",
        layers=["blocks.2", "blocks.4"],
        pre_trained=False,
        pre_processor=Patchcore.configure_pre_processor(image_size=tuple(settings["size"])),
    )
    weigh(model.model.feature_extractor, settings["weights"])
    model.model.memory_bank = torch.from_numpy(np.load(settings["bank"]))
    model._is_fitted.fill_(True)
    engine = Engine(default_root_dir=str(out / "results"), accelerator="cpu", devices=1, logger=False)
    engine.validate(
        model=model, datamodule=parts()
    )  # chooses its thresholds, on the test parts, as its data module does
    found = {"threshold": float(model.post_processor.image_threshold)}
    # With its defaults torch 2.14 fixes the batch at two images, and the file refuses one.
    fixed = {"input_size": tuple(settings["image"]), "onnx_kwargs": {"dynamic_axes": {}}}
    found["fp32"] = str(model.to_openvino(out / "fp32", **fixed))
    try:
        # A data module that no engine has seen gives images of their own size, as the file expects them.
        small = {"compression_type": CompressionType.INT8_PTQ, "datamodule": parts()}
        found["int8"] = str(model.to_openvino(out / "int8", **fixed, **small))
    except Exception as error:  # whatever it is belongs on the page
        found["int8_failed"] = f"{type(error).__name__}: {error}"
    return found


def cold(model, image):
    from anomalib.deploy import OpenVINOInferencer

    found = OpenVINOInferencer(path=model, device="CPU").predict(image)
    return {"defective": bool(found.pred_label.ravel()[0])}


def serve(model, precision, say):
    import numpy as np
    from anomalib.deploy import OpenVINOInferencer

    config = {} if precision == "default" else {"INFERENCE_PRECISION_HINT": precision}
    inferencer = OpenVINOInferencer(path=model, device="CPU", config=config)
    name = inferencer.input_blob.any_name

    def prepare(file):
        from anomalib.data.utils import read_image

        return inferencer.pre_process(read_image(file, as_tensor=False))

    def milliseconds(work, value):
        begun = time.perf_counter()
        work(value)
        return 1e3 * (time.perf_counter() - begun)

    say({"precision": inferencer.model.get_property("INFERENCE_PRECISION_HINT").get_type_name()})
    for line in sys.stdin:
        asked = json.loads(line)
        if "time" in asked:
            taken = {"whole": [], "alone": []}
            for file in asked["time"]:
                taken["whole"].append(milliseconds(inferencer.predict, file))
                taken["alone"].append(milliseconds(lambda image: inferencer.model({name: image}), prepare(file)))
            say(taken)
        else:
            found = [inferencer.predict(file) for file in asked["answer"]]
            np.savez(
                asked["to"],
                scores=np.array([float(one.pred_score.ravel()[0]) for one in found]),
                maps=np.stack([np.squeeze(one.anomaly_map) for one in found]),
                defective=np.array([bool(one.pred_label.ravel()[0]) for one in found]),
            )
            say({})


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what its libraries print is not an answer

    def say(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    verb, *words = sys.argv[1:]
    if verb == "serve":
        serve(*words, say)
    else:
        say({"make": make, "cold": cold}[verb](*words))


if __name__ == "__main__":
    main()
