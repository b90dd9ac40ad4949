"""The house keeps its order: light imports, complete public names, no pickle, one way to read images."""

import ast
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import blemish.data
from blemish.core import registry
from blemish.core.errors import UnknownName, nearest
from blemish.data.datamodule import DataModule

SOURCE = Path(blemish.__path__[0])
HEAVY = ("torch", "timm", "torchvision", "scipy", "matplotlib", "jinja2", "numba", "pandas")


@pytest.mark.parametrize(
    "statement",
    [
        "import blemish",
        "import blemish.cli",
        "import blemish.metrics, blemish.inference.calibration, blemish.imaging.images, blemish.data",
        "import blemish.benchmark.reading, blemish.benchmark.runner, blemish.benchmark.backends",
        "from blemish import literature as l; l.papers(); l.taxonomy(); l.leaderboard('visa')",
        "from blemish.core import registry; registry.datasets(); [registry.method_card(m) for m in registry.methods()]",
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
    for found in registry.datasets().values():
        assert found.__name__ in blemish.data.__all__
        assert found.card.name
    files = {m.name for m in pkgutil.iter_modules(blemish.data.datasets.__path__)}
    assert set(registry.datasets()) == files
    public = {n for n in blemish.data.__all__ if issubclass(getattr(blemish.data, n), DataModule)}
    others = {"MVTec": "MVTecAD", "MVTec3D": "MVTec3DAD", "Kolektor": "KolektorSDD", "Visa": "VisA", "BTech": "BTAD"}
    assert public == {c.__name__ for c in registry.datasets().values()} | {"DataModule", *others}
    assert {name: getattr(blemish.data, name).__name__ for name in others} == others


def test_every_method_is_public_without_torch() -> None:
    """Every method is a public name that needs no torch to be seen."""
    code = "import blemish.models as m, sys; print(*dir(m)); print(*m.__all__); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seen, public, loaded = done.stdout.splitlines()
    assert loaded == "False"
    assert set(public.split()) < set(seen.split())
    assert {name.lower() for name in public.split()} == {name.replace("_", "") for name in registry.methods()}


def test_names_of_other_libraries_are_the_same_methods() -> None:
    from blemish.models import RD4AD, STPM, PaDiM, Padim, ReverseDistillation, Stfpm

    assert (Stfpm, ReverseDistillation, Padim) == (STPM, RD4AD, PaDiM)


def test_the_first_names_are_at_the_top() -> None:
    from blemish import Engine, Folder, Inspector, Prediction, create_method, list_datasets, list_methods, load

    names = "Engine Folder Inspector Prediction create_method list_backbones list_datasets list_methods load"
    assert sorted(blemish.__all__) == names.split()
    assert (Engine.__module__, Inspector.__module__) == ("blemish.engine.engine", "blemish.inference.inspector")
    assert (Folder, Prediction) == (blemish.data.Folder, blemish.core.prediction.Prediction)
    assert load == blemish.inference.loading.load
    assert blemish.list_backbones("texnet_*") == ["texnet_s", "texnet_m"]
    assert "vit_small_patch14_dinov2.lvd142m" not in blemish.list_backbones("*resnet18*")
    with pytest.raises(UnknownName, match=r"unknown backbone 'resnet81'. Did you mean 'resnet"):
        blemish.list_backbones("resnet81")
    assert list_methods() == list(registry.methods())
    assert list_datasets() == list(registry.datasets())
    assert create_method("Patch-Core", seed=3).params["seed"] == 3
    assert set(blemish.__all__) < set(dir(blemish))
    with pytest.raises(AttributeError, match="no attribute 'Motor'"):
        _ = blemish.Motor


def test_no_module_imports_its_importer() -> None:
    """Imports at the top of modules have no circle, so that any file can be read before those that use it."""
    imports: dict[str, set[str]] = {}
    files = {
        ".".join(("blemish", *p.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): p
        for p in SOURCE.rglob("*.py")
    }
    for module, path in files.items():
        found = imports.setdefault(module, set())
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {
                    f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in files else node.module for a in node.names
                }
    imports = {module: {one for one in found if one in files} for module, found in imports.items()}
    while free := [module for module, found in imports.items() if not found]:
        imports = {module: found - set(free) for module, found in imports.items() if module not in free}
    assert imports == {}


def test_names_are_found_in_any_spelling_and_suggested() -> None:
    assert registry.method("PatchCore") is registry.method("patch-core") is registry.method("patchcore")
    assert registry.dataset("MVTecAD") is registry.dataset("mvtec_ad")
    with pytest.raises(UnknownName, match="Did you mean 'padim'"):
        registry.method("padimm")
    with pytest.raises(UnknownName, match=r"Known: .*mvtec_ad"):
        registry.dataset("coco")
    assert nearest("patch core", ["padim", "patchcore"]) == ["patchcore"]
    with pytest.raises(AttributeError, match="methods: "):
        _ = blemish.models.Nothing


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_pickle_and_one_way_to_read_and_resize_images(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"import pickle|pickle\.load|torch\.load\(|joblib|allow_pickle=True|yaml\.load\(", text)
    place = path.relative_to(SOURCE).as_posix()
    if place not in ("imaging/reading.py", "imaging/images.py"):
        assert not re.search(r"cv2\.(imread|imdecode)\(|Image\.open", text), "images are read by imaging.reading"
    if place != "imaging/images.py" and not place.startswith("data/synthetic/"):  # it resizes the noise it paints with
        assert not re.search(r"cv2\.resize\(", text), "images are resized by imaging.images"


def test_names_of_tests_stay_below_sixty_characters() -> None:
    """What a name cannot hold stands in the docstring."""
    found = [
        name
        for path in Path(__file__).parent.rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    ]
    assert len(found) > 1000
    assert [name for name in found if len(name) >= 60] == []


def code_lines(path: Path) -> int:
    """Lines that are neither blank, nor comments, nor in a docstring."""
    text = path.read_text("utf-8")
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            told.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(1 for number, line in lines if number not in told and line.strip() and not line.strip().startswith("#"))


def test_files_keep_to_their_guide_values() -> None:
    """The numbers of docs/design.md: methods 250 lines of code, files 500 in all, no small module with one user."""
    lines = {
        path.relative_to(SOURCE).as_posix(): len(path.read_text("utf-8").splitlines()) for path in SOURCE.rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > 500} == {}
    assert {p.name: code_lines(p) for p in (SOURCE / "models").glob("*.py") if code_lines(p) > 250} == {}
    text = "\n".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    for name, count in lines.items():
        module = Path(name).stem
        if count < 30 and module not in ("__init__", "__main__") and not name.startswith("data/datasets/"):
            package = ".".join(("blemish", *Path(name).parent.parts))
            users = len(re.findall(rf"from {package}\.{module} import|from {package} import .*\b{module}\b", text))
            assert users >= 2, f"{name} has {count} lines and {users} users: it belongs to its user"
