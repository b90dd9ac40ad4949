"""The rival's side of the benchmarks: runs in its own environment (anomalib==2.7.0) and knows nothing of blemish.

python rival_side.py WORK FOLDER: reads FOLDER/*.npy and settings.json, prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from pathlib import Path

import numpy as np


def status(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def load(folder):
    settings = json.loads((folder / "settings.json").read_text())
    return settings, {path.stem: np.load(path) for path in folder.glob("*.npy")}


def prepared(settings):
    import torch

    torch.set_num_threads(settings["threads"])
    return torch


def weigh(module, path):
    """Put the weights of a local file into the rival's feature extractor."""
    from safetensors.torch import load_file

    held, own = load_file(path), module.state_dict()
    fitting = {
        key: held[key.replace("feature_extractor.", "")] for key in own if key.replace("feature_extractor.", "") in held
    }
    absent = [key for key in own if key not in fitting and not key.endswith("num_batches_tracked")]
    assert not absent, absent[:3]
    module.load_state_dict(fitting, strict=False)


def median(work, repeats):
    work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def coreset(settings, arrays, folder):
    """Select `centres` of the points; time the whole selection, or, with `measured`, that many centres and scale."""
    torch = prepared(settings)
    from anomalib.models.components.sampling import KCenterGreedy

    points = torch.from_numpy(arrays["points"])
    n, centres = len(points), settings["centres"]
    measured = settings.get("measured") or centres
    torch.manual_seed(0)
    with torch.no_grad():
        sampler = KCenterGreedy(points, (measured + 0.5) / n)
        begun = time.perf_counter()
        picks = sampler.select_coreset_idxs()
        spent = time.perf_counter() - begun
    np.save(folder / "picks.npy", np.array([int(i) for i in picks]))
    return {"seconds": spent * centres / measured, "arrays": ["picks"], "dimensions": sampler.features.shape[1]}


def patchcore_model(settings, torch):
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model = PatchcoreModel(layers=["blocks.2", "blocks.4"], backbone="mobilenetv2_100", pre_trained=False)
    weigh(model.feature_extractor, settings["weights"])
    return model


def normalised(torch, images):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return (torch.from_numpy(images) - mean) / std


def patchcore_fit(settings, arrays, folder):
    """Features of all images and the coreset; of the coreset `measured` centres are timed and scaled."""
    torch = prepared(settings)
    model = patchcore_model(settings, torch).train()
    model.feature_extractor.eval()
    images = normalised(torch, arrays["images"])
    with torch.no_grad():
        model(images[:8])
        model.embedding_store.clear()
        begun = time.perf_counter()
        for some in images.split(8):
            model(some)
        features = time.perf_counter() - begun
        rows = torch.vstack(model.embedding_store)
        from anomalib.models.components.sampling import KCenterGreedy

        centres, measured = int(len(rows) * settings["ratio"]), settings["measured"]
        sampler = KCenterGreedy(rows, (measured + 0.5) / len(rows))
        begun = time.perf_counter()
        sampler.select_coreset_idxs()
        selection = time.perf_counter() - begun
    return {"seconds": features + selection * centres / measured, "features": features, "peak": status("VmHWM")}


def patchcore_score(settings, arrays, folder):
    torch = prepared(settings)
    model = patchcore_model(settings, torch)
    model.memory_bank = torch.from_numpy(arrays["bank"])
    model.eval()
    images = normalised(torch, arrays["images"])
    with torch.no_grad():
        whole = median(lambda: model(images), settings["repeats"])
        forward = median(lambda: model.feature_extractor(images), settings["repeats"])
        score = model(images).pred_score
    np.save(folder / "scores.npy", score.numpy().ravel())
    return {"seconds": whole, "forward": forward, "arrays": ["scores"]}


def padim(settings, arrays, folder):
    torch = prepared(settings)
    from anomalib.models.image.padim.torch_model import PadimModel

    model = PadimModel(
        backbone=settings["backbone"], layers=settings["layers"], pre_trained=False, n_features=settings["dims"]
    ).train()
    weigh(model.feature_extractor, settings["weights"])
    model.feature_extractor.eval()
    images = normalised(torch, arrays["images"])
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    failed = ""
    with torch.no_grad():
        begun = time.perf_counter()
        for some in images.split(8):
            model(some)
        try:
            model.fit()
        except RuntimeError as error:  # seen with torch 2.14: its inversion of so many matrices gives up
            failed = str(error)
        spent = time.perf_counter() - begun
    peak = status("VmHWM") - before
    cells = (images.shape[2] // 4) * (images.shape[3] // 4)
    found = {"peak": peak, "file": 4e-6 * cells * settings["dims"] * (settings["dims"] + 1), "failed": failed}
    if failed:
        return {**found, "seconds": None, "score": None}
    model.eval()
    with torch.no_grad():
        one = median(lambda: model(images[:8]), 3) / 8
    return {**found, "seconds": spent, "score": one}


def metrics(settings, arrays, folder):
    torch = prepared(settings)
    from anomalib.metrics.aupr import _AUPR
    from anomalib.metrics.aupro import _AUPRO
    from anomalib.metrics.auroc import _AUROC
    from anomalib.metrics.f1_score import _F1Max

    maps, masks = torch.from_numpy(arrays["maps"]), torch.from_numpy(arrays["masks"]).int()
    values = {}

    def all_four():
        for name, kind in (("AUROC", _AUROC), ("AP", _AUPR), ("F1Max", _F1Max), ("AUPRO", _AUPRO)):
            metric = kind()
            for map, mask in zip(maps.split(8), masks.split(8), strict=True):
                metric.update(map, mask)
            values[name] = float(metric.compute())

    begun = time.perf_counter()
    spent = median(all_four, settings["repeats"])
    return {"seconds": spent, "values": values, "all": time.perf_counter() - begun}


def whole_run(settings, arrays, folder):
    """Fit, test, pictures on, as its README does it, on a folder in MVTec's layout."""
    prepared(settings)
    begun = time.perf_counter()
    from anomalib.data import MVTecAD
    from anomalib.engine import Engine
    from anomalib.models import Patchcore
    from torchvision.transforms.v2 import Resize

    data = MVTecAD(
        root=settings["root"],
        category=settings["category"],
        train_batch_size=8,
        eval_batch_size=8,
        num_workers=2,
        augmentations=Resize((256, 256), antialias=True),
    )
    model = Patchcore(
        backbone="mobilenetv2_100",
        layers=["blocks.2", "blocks.4"],
        pre_trained=False,
        coreset_sampling_ratio=settings["ratio"],
        pre_processor=Patchcore.configure_pre_processor(image_size=(256, 256)),
    )
    weigh(model.model.feature_extractor, settings["weights"])
    engine = Engine(default_root_dir=str(folder / "results"), accelerator="cpu", devices=1, logger=False)
    engine.fit(model=model, datamodule=data)
    found = engine.test(model=model, datamodule=data)
    return {"seconds": time.perf_counter() - begun, "peak": status("VmHWM"), "values": found[0]}


def main():
    folder = Path(sys.argv[2])
    settings, arrays = load(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        result = globals()[sys.argv[1]](settings, arrays, folder)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
