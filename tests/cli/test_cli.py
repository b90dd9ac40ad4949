"""The command line as people and scripts meet it: exit codes, text and JSON; a real process where its end matters."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import typer

from commands import blemish
from parts import stripes, write_folder, write_png

COMMAND = [sys.executable, "-m", "blemish"]
FAST = ["--image-size", "64", "-s", "coreset_sampling_ratio=0.2", "--false-reject-rate", "0.2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("line")
    write_folder(folder / "parts", good=60)
    return folder


@pytest.fixture(scope="module")
def model(place) -> Path:
    done = blemish("fit", place / "parts", "--out", place / "runs", "--json", *FAST)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["calibration"]["threshold"] > 0
    return Path(found["model"])


@pytest.mark.slow
def test_a_real_process_fits_and_inspects(place, tmp_path) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)

    fitted = run("fit", place / "parts", "--out", tmp_path, "--json", *FAST)
    assert fitted.returncode == 0, fitted.stderr
    model = json.loads(fitted.stdout)["model"]
    done = run("inspect", model, place / "parts" / "test" / "turned")
    assert done.returncode == 1
    assert done.stdout == blemish("inspect", model, place / "parts" / "test" / "turned").stdout


def test_fit_says_what_it_did(place) -> None:
    done = blemish("fit", "parts", *FAST, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "Learned from 32 good parts." in done.stdout
    assert "from 8 held-out good parts" in done.stdout
    assert (place / "runs" / "patchcore-folder").is_dir()


def test_inspect_exit_codes_tell_good_defective_and_error_apart(model, place, tmp_path) -> None:
    good = sorted((place / "parts" / "train" / "good").glob("*.png"))[:3]
    bad = sorted((place / "parts" / "test" / "turned").glob("*.png"))[:2]
    assert blemish("inspect", model, *good).returncode == 0
    done = blemish("inspect", model, *good, *bad)
    assert done.returncode == 1
    assert done.stdout.count("\ndefective ") == 2
    assert done.stdout.strip().endswith("3 good, 2 defective")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    done = blemish("inspect", model, *bad, tmp_path / "broken.png")
    assert done.returncode == 2
    assert "broken.png cannot be read" in done.stdout


def test_a_model_without_a_threshold_never_says_good(place, tmp_path) -> None:
    """A model without a threshold never says that all is good."""
    done = blemish("fit", place / "parts", "--out", tmp_path, "--holdout", 0, "--json", *FAST)
    bare = json.loads(done.stdout)["model"]
    done = blemish("inspect", bare, place / "parts" / "test" / "good", "--device", "auto")
    assert done.returncode == 2
    assert "has no threshold" in done.stderr


def test_python_words_are_values(place, tmp_path) -> None:
    done = blemish("fit", place / "parts", "--out", tmp_path, "--json", *FAST, "-s", "pretrained=False", "--seed", "7")
    params = json.loads(blemish("info", json.loads(done.stdout)["model"], "--json").stdout)["params"]
    assert params["pretrained"] is False
    assert params["seed"] == 7


def test_pictures_of_equal_names_are_all_kept(model, place, tmp_path) -> None:
    """Pictures of parts with the same name are all kept and each run has its own."""
    bad = sorted((place / "parts" / "test" / "turned").glob("*.png"))[0]
    for folder in ("a", "b"):
        (tmp_path / "line" / folder).mkdir(parents=True)
        shutil.copy(bad, tmp_path / "line" / folder / "0.png")
    for run in range(2):
        done = blemish("inspect", model, tmp_path / "line", "--out", tmp_path / "out")
        assert done.returncode == 1
        assert (f"those of this one are in {tmp_path / 'out' / 'run-2'}" in done.stderr) == (run == 1)
    kept = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png"))
    assert kept == ["a/0.png.png", "b/0.png.png", "run-2/a/0.png.png", "run-2/b/0.png.png"]


def test_pictures_that_cannot_be_written_keep_no_verdict_back(model, place, tmp_path) -> None:
    (tmp_path / "rejects").write_text("a file where the folder should be")
    bad = place / "parts" / "test" / "turned"
    done = blemish("inspect", model, bad, "--json", "--out", tmp_path / "rejects")
    verdicts = [json.loads(line)["verdict"] for line in done.stdout.splitlines()]
    assert len(verdicts) == 8
    assert done.returncode == 2
    assert f"{verdicts.count('defective')} pictures could not be written; the verdicts stand" in done.stderr


def test_inspect_for_machines_and_pictures_for_people(model, place, tmp_path) -> None:
    done = blemish("inspect", model, place / "parts" / "test" / "turned", "--json", "--out", tmp_path / "rejects")
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == 8
    caught = [v for v in verdicts if v["verdict"] == "defective"]
    assert len(caught) >= 7
    assert all(v["regions"] for v in caught)
    pictures = list((tmp_path / "rejects").glob("*.png"))
    assert len(pictures) == len(caught)
    from blemish.imaging.reading import read

    assert read(pictures[0]).shape == (64, 128, 3)


def test_test_writes_a_report(model, place, tmp_path) -> None:
    done = blemish("test", model, place / "parts", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "image_AUROC" in done.stdout
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="[^d#]', page), "the page must load nothing"
    assert page.count("data:image/jpeg;base64,") >= 8
    assert json.loads((tmp_path / "report.json").read_text())["metrics"]["image_AUROC"]["value"] >= 0.9


def test_calibrate_writes_a_model_with_a_new_threshold(model, place, tmp_path) -> None:
    good, bad = place / "parts" / "test" / "good", place / "parts" / "test" / "turned"
    costs = ("--cost-escape", 50, "--cost-false-reject", 1, "--defect-share", 0.1)
    done = blemish(
        "calibrate", model, "--good", good, "--defective", bad, *costs, "--out", tmp_path / "new.safetensors"
    )
    assert done.returncode == 0, done.stderr
    assert "lowest expected cost" in done.stdout
    assert blemish("inspect", tmp_path / "new.safetensors", bad).returncode == 1
    done = blemish("calibrate", model, "--good", good, *costs[:2], "--out", tmp_path / "x")
    assert done.returncode == 2
    assert "all three" in done.stderr


@pytest.fixture(scope="module")
def fresh(place) -> Path:
    """Parts that the model has never seen, in a folder that nobody divided: 6 good, 4 of a kind, 3 masks."""
    flat = place / "flat"
    good, bad = stripes(6, (64, 64), seed=900), stripes(4, (64, 64), seed=901).transpose(2, 3).flip(1)
    for i, image in enumerate(good):
        write_png(flat / "good" / f"{i}.png", image)
    for i, image in enumerate(bad):
        write_png(flat / "turned" / f"{i}.png", image)
    for i in range(3):
        write_png(flat / "masks" / "turned" / f"{i}.png", torch.ones(1, 64, 64))
    return flat


def test_new_parts_are_tested_all_and_known_ones_left_out(model, fresh, tmp_path) -> None:
    done = blemish("test", model, fresh, "--out", tmp_path / "new", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(part["kind"] for part in found["parts"]) == ["good"] * 6 + ["turned"] * 4
    assert not any("left out" in note for note in found["notes"])
    shutil.copytree(fresh, tmp_path / "mixed")
    for path in sorted((model.parents[3] / "parts" / "train" / "good").glob("*.png"))[:5]:
        shutil.copy(path, tmp_path / "mixed" / "good" / f"again-{path.name}")
    found = json.loads(blemish("test", model, tmp_path / "mixed", "--out", tmp_path / "out", "--json").stdout)
    assert len(found["parts"]) == 10
    assert any(note.startswith("5 of 15 parts there were left out") for note in found["notes"])


def test_an_undivided_folder_is_tested_on_its_new_parts(fresh, tmp_path) -> None:
    """An undivided folder that was learned from is tested on the rest."""
    shutil.copytree(fresh, tmp_path / "flat")
    for i, image in enumerate(stripes(20, (64, 64), seed=77)):
        write_png(tmp_path / "flat" / "good" / f"more-{i}.png", image)
    done = blemish("fit", tmp_path / "flat", "--out", tmp_path / "runs", "--json", *FAST)
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)["model"]
    found = json.loads(blemish("test", model, tmp_path / "flat", "--json").stdout)
    counts = json.loads(Path(model).with_name("run.json").read_text())["data"]["counts"]
    assert len(found["parts"]) == counts["test"] == 5 + 4
    assert any(note.startswith("21 of 30 parts there were left out") for note in found["notes"])


def test_inspect_leaves_masks_out_and_says_so(model, fresh) -> None:
    done = blemish("inspect", model, fresh, "--json")
    assert len(done.stdout.splitlines()) == 10
    assert f"3 masks in {fresh} are no parts and were left out." in done.stderr


def test_calibrate_with_a_threshold_that_was_given(model, fresh, tmp_path) -> None:
    given = ("calibrate", model, "--good", fresh / "good", "--threshold", 2.5, "--out", tmp_path / "new.safetensors")
    done = blemish(*given)
    assert done.returncode == 0, done.stderr
    assert "Threshold 2.5. The threshold was given. " in done.stdout
    assert "of 6 good parts reach it" in done.stdout
    found = json.loads(blemish("inspect", tmp_path / "new.safetensors", fresh / "good" / "0.png", "--json").stdout)
    assert found["threshold"] == 2.5


def test_calibrate_refuses_parts_that_are_good_and_defective(model, fresh, tmp_path) -> None:
    done = blemish(
        *("calibrate", model, "--good", fresh / "good", "--defective", fresh, "--escape-rate", 0.5),
        *("--out", tmp_path / "new.safetensors"),
    )
    assert done.returncode == 2
    assert "6 of the 10 files given as defective are given as good as well" in done.stderr
    assert not (tmp_path / "new.safetensors").exists()


def test_calibrate_takes_no_masks_for_defective_parts(model, place, tmp_path) -> None:
    bad, beside = place / "parts" / "test" / "turned", tmp_path / "turned"
    for part in sorted(bad.glob("*.png"))[:5]:
        for name in (part.name, f"{part.stem}_mask.png", f"masks/{part.name}"):
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).write_bytes(part.read_bytes())
    costs = ("--cost-escape", 50, "--cost-false-reject", 1, "--defect-share", 0.1)
    good = place / "parts" / "test" / "good"
    done = blemish(
        "calibrate", model, "--good", good, "--defective", beside, *costs, "--out", tmp_path / "x.safetensors"
    )
    assert done.returncode == 0, done.stderr
    assert "5 defective calibration parts" in done.stdout
    assert "10 masks in" in done.stderr


def test_names_of_any_letters_stay_on_one_line(model, place, tmp_path) -> None:
    part = next((place / "parts" / "train" / "good").glob("*.png"))
    (tmp_path / "a\ngood       score 0  p 1  b.png").write_bytes(part.read_bytes())
    (tmp_path / "cut\noff.png").write_bytes(b"")
    done = blemish("inspect", model, tmp_path)
    assert len(done.stdout.splitlines()) == 3, done.stdout
    assert "a\\ngood" in done.stdout
    assert "cut\\noff.png" in done.stdout


def test_the_number_of_parts_is_that_of_the_guarantee(place, tmp_path) -> None:
    """With patience half of the held-out parts stop the training, and the other half alone give the threshold."""
    trained = ("--method", "stpm", "-s", "steps=2", "--patience", 1, "--image-size", 64, "--batch-size", 4)
    done = blemish("fit", place / "parts", "--out", tmp_path, *trained)
    assert done.returncode == 0, done.stderr
    assert "from 4 held-out good parts" in done.stdout
    assert "like the 4 held-out ones" in done.stdout


def test_resume_goes_on_with_the_same_run(model, place) -> None:
    run = model.parent
    model.unlink()
    done = blemish("fit", place / "parts", "--out", place / "runs", "--resume", run, *FAST)
    assert done.returncode == 0, done.stderr
    assert model.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "nowhere"), "nowhere"),
        (("fit", "empty"), "empty"),
        (("fit", "parts", "--method", "patchcor"), "Did you mean 'patchcore'?"),
        (("fit", "parts", "--dataset", "mvtec"), "Did you mean 'mvtec_ad'"),
        (("fit", "parts", "-s", "neighbors=3"), "Did you mean 'neighbours'"),
        (("fit", "parts", "-s", "neighbours"), "name=value"),
        (("fit", "parts", "-s", "backbone=texnet"), "Did you mean 'texnet_s'"),
        (("fit", "parts", "-s", "pretrained=yes"), "pretrained must be bool"),
        (("fit", "parts", "-s", "coreset_size=1.5"), "coreset_size must be int | None"),
        (("fit", "parts", "-s", "layers=stage2"), "layers must be list[str] | list[int] | None"),
        (("fit", "parts", "-s", "pooling=max"), "pooling must be Literal['average', 'official']"),
        (("fit", "parts", "--device", "gpu3"), "device 'gpu3' is not known"),
        (("fit", "parts", "--roi", "1,2,3"), "left,top,right,bottom"),
        (("fit", "parts", "--roi", "0,0,500,500"), "does not fit in an image of 64 x 64"),
        (("fit", "parts", "--false-reject-rate", "2"), "2"),
        (("inspect", "nothing.safetensors", "parts"), "nothing.safetensors does not exist"),
        (("test", "nothing.safetensors", "parts"), "nothing.safetensors does not exist"),
        (("info", "patchcoar"), "Did you mean 'patchcore'?"),
        (("download", "visage", "x"), "Did you mean 'visa'?"),
    ],
)
def test_mistakes_get_one_clear_paragraph(place, arguments, message) -> None:
    (place / "empty").mkdir(exist_ok=True)
    done = blemish(*arguments, cwd=place)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_read_only_output_is_a_clear_error(place, tmp_path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    done = blemish("fit", place / "parts", "--out", tmp_path / "runs", *FAST)
    assert done.returncode == 2
    assert "cannot write" in done.stderr


@pytest.mark.slow
def test_control_c_leaves_nothing_half_written(place, tmp_path) -> None:
    import signal

    process = subprocess.Popen(
        [*COMMAND, "fit", str(place / "parts"), "--out", str(tmp_path), *FAST, "--image-size", "512"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("run.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "stopped" in stderr
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["run.json"]


@pytest.mark.slow
def test_demo_goes_from_nothing_to_a_report(tmp_path) -> None:
    done = blemish("demo", "--out", tmp_path / "demo", "--category", "fabric")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("fabric"))
    assert float(row.split()[1]) > 0.6, "the embedded backbone must beat chance on the task it is shown with"
    index = (tmp_path / "demo" / "report.html").read_text()
    link = re.search(r'href="([^"]+)"', index)
    assert link is not None
    assert (tmp_path / "demo" / link[1]).exists()


def test_download_shows_the_licence_and_asks(tmp_path) -> None:
    refused = blemish("download", "visa", tmp_path / "visa", answer="n\n")
    assert refused.returncode == 2
    assert "CC BY 4.0" in refused.stdout
    assert not list(tmp_path.iterdir())
    by_hand = blemish("download", "mpdd", tmp_path / "mpdd", "--yes")
    assert by_hand.returncode == 2
    assert "Fetch it by hand from" in by_hand.stderr


@pytest.mark.slow
def test_list_and_info_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['blemish', *sys.argv[1:]]\n"
        "from blemish.cli import main; main()"
    )

    def without_torch(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)

    listed = json.loads(without_torch("list", "--json").stdout)
    assert {"patchcore", "padim"} <= set(listed["methods"])
    assert {"folder", "mvtec_ad", "visa", "synthetic"} <= set(listed["datasets"])
    assert "Towards Total Recall" in without_torch("info", "patchcore").stdout
    assert "CC BY-NC-SA" in without_torch("info", "mvtec_ad").stdout
    fit = without_torch("fit", "x")
    assert fit.returncode == 2
    assert "pip install 'blemish[train]'" in fit.stderr


def test_info_checks_a_copy_on_disk(tmp_path) -> None:
    for i, image in enumerate(stripes(3, (16, 16), 0)):
        write_png(tmp_path / "bottle" / "train" / "good" / f"{i:03d}.png", image)
    done = blemish("info", "mvtec_ad", "--root", tmp_path, "--json")
    assert done.returncode == 1
    assert "209" in done.stdout


def test_info_of_a_model_file(model) -> None:
    found = json.loads(blemish("info", model, "--json").stdout)
    assert found["detector"] == "PatchCore"
    assert found["calibration"]["threshold"] > 0


def test_the_help_shows_every_command_in_its_group() -> None:
    from blemish.cli import app
    from blemish.cli.app import GROUPS

    shown = blemish("--help").stdout
    registered = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    grouped = [name for commands in GROUPS.values() for name in commands]
    assert sorted(grouped) == sorted(registered)
    assert [line.rstrip(":") for line in shown.splitlines() if line.endswith(":") and " " not in line] == [
        "Options",
        "Learn",
        "Inspect",
        "Measure",
        "Field",
    ]
    assert all(f"\n  {name} " in shown for name in grouped)
    assert max(map(len, shown.splitlines())) <= 80


def test_commands_under_their_earlier_names_say_where_to_go() -> None:
    unknown = blemish("bench", "quick-look")
    assert unknown.returncode == 2
    assert "benchmark" in unknown.stderr
    exported = blemish("benchmark", "part.onnx")
    assert exported.returncode == 2
    assert "blemish profile part.onnx" in exported.stderr


def test_version_and_help() -> None:
    import blemish as package

    assert blemish("--version").stdout.strip() == package.__version__
    assert "inspect" in blemish("--help").stdout
    for command in ("fit", "test", "inspect", "demo", "list", "info", "download"):
        done = blemish(command, "--help")
        assert done.returncode == 0
        assert "default" in done.stdout or command in ("list", "info", "download")


CRASH = """
import sys
from blemish.core import registry
from blemish.cli import main
def crash(*arguments, **options):
    raise {error}
registry.methods = crash
sys.argv[1:] = ["list"]
main()
"""


@pytest.mark.parametrize("error", ["RuntimeError('ugh')", "ModuleNotFoundError('ugh', name='x')"])
def test_a_crash_never_looks_like_a_defective_part(error) -> None:
    """A crash keeps its traceback and never looks like a defective part."""
    code = CRASH.format(error=error)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "ugh" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "unbuffered", "errors_too"),
    [("list", "", False), ("list", "1", False), ("list", "", True), ("--help", "", False), ("taxonomy", "", False)],
)
def test_a_closed_pipe_never_looks_like_a_defective_part(arguments, unbuffered, errors_too) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*COMMAND, arguments],
        stdout=theirs,
        stderr=theirs if errors_too else subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        text=True,
        check=False,
    )
    os.close(theirs)
    assert done.returncode == 2
    if not errors_too:
        assert (
            done.stderr
            == "blemish: stopped: a pipe was closed before everything was said, so not everything was done.\n"
        )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the full disk is that of Linux")
def test_a_full_disk_never_looks_like_a_defective_part() -> None:
    """A full disk under the output never looks like a defective part."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "No space left" in done.stderr
