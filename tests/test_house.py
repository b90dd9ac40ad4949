"""The house keeps its order: light imports, complete public names, no pickle, one way to read images."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import blemish.data
from blemish import catalogue
from blemish.data.datamodule import DataModule
from blemish.errors import UnknownName, nearest

SOURCE = Path(blemish.__path__[0])
HEAVY = ("torch", "timm", "torchvision", "scipy", "matplotlib", "jinja2", "numba", "pandas")


@pytest.mark.parametrize(
    "statement",
    [
        "import blemish",
        "import blemish.cli",
        "import blemish.metrics, blemish.calibration, blemish.imaging, blemish.data",
        "import blemish.benchmark.reading, blemish.benchmark.runner, blemish.benchmark.places",
        "from blemish import literature as l; l.papers(); l.taxonomy(); l.leaderboard('visa')",
        "from blemish import catalogue; catalogue.datasets(); [catalogue.method_card(m) for m in catalogue.methods()]",
    ],
)
def test_the_core_loads_nothing_heavy(statement) -> None:
    code = f"{statement}\nimport sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_loads_neither_numpy_nor_opencv() -> None:
    code = (
        "import sys; from blemish.cli import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "print([m for m in ('numpy', 'cv2', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_every_data_set_is_a_public_name() -> None:
    for found in catalogue.datasets().values():
        assert found.__name__ in blemish.data.__all__
        assert found.card.name
    files = {m.name for m in pkgutil.iter_modules(blemish.data.__path__)}
    assert set(catalogue.datasets()) < files
    public = {n for n in blemish.data.__all__ if issubclass(getattr(blemish.data, n), DataModule)}
    others = {"MVTec": "MVTecAD", "MVTec3D": "MVTec3DAD", "Kolektor": "KolektorSDD", "Visa": "VisA", "BTech": "BTAD"}
    assert public == {c.__name__ for c in catalogue.datasets().values()} | {"DataModule", *others}
    assert {name: getattr(blemish.data, name).__name__ for name in others} == others


def test_every_method_is_a_public_name_that_needs_no_torch_to_be_seen() -> None:
    code = "import blemish.models as m, sys; print(*dir(m)); print(*m.__all__); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seen, public, loaded = done.stdout.splitlines()
    assert loaded == "False"
    assert set(public.split()) < set(seen.split())
    assert {name.lower() for name in public.split()} == {name.replace("_", "") for name in catalogue.methods()}


def test_names_of_other_libraries_are_the_same_methods() -> None:
    from blemish.models import RD4AD, STPM, PaDiM, Padim, ReverseDistillation, Stfpm

    assert (Stfpm, ReverseDistillation, Padim) == (STPM, RD4AD, PaDiM)


def test_the_first_names_are_at_the_top() -> None:
    from blemish import Engine, Inspector

    assert (Engine.__module__, Inspector.__module__) == ("blemish.engine.engine", "blemish.inspector")
    assert {"Engine", "Inspector"} < set(dir(blemish))
    with pytest.raises(AttributeError, match="no attribute 'Motor'"):
        _ = blemish.Motor


def test_names_are_found_in_any_spelling_and_suggested() -> None:
    assert catalogue.method("PatchCore") is catalogue.method("patch-core") is catalogue.method("patchcore")
    assert catalogue.dataset("MVTecAD") is catalogue.dataset("mvtec_ad")
    with pytest.raises(UnknownName, match="Did you mean 'padim'"):
        catalogue.method("padimm")
    with pytest.raises(UnknownName, match=r"Known: .*mvtec_ad"):
        catalogue.dataset("coco")
    assert nearest("patch core", ["padim", "patchcore"]) == ["patchcore"]
    with pytest.raises(AttributeError, match="methods: "):
        _ = blemish.models.Nothing


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_pickle_and_one_way_to_read_and_resize_images(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"import pickle|pickle\.load|torch\.load\(|joblib|allow_pickle=True|yaml\.load\(", text)
    if path.name != "imaging.py" and path.parent.name != "scenes":  # scenes resize the noise they paint with
        assert not re.search(r"cv2\.(imread|imdecode|resize)\(|Image\.open", text), "images are read by blemish.imaging"
