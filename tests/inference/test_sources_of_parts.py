"""What a part may be given as: a file, bytes, an array, a mapping of its files; each gives the same verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import newcomers

from blemish import Engine
from blemish.core.errors import InputError
from blemish.imaging.reading import read
from blemish.models import PatchCore
from blemish.testing import MadeParts, make_parts


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_parts(tmp_path_factory.mktemp("parts"), ("image", "points"))


@pytest.fixture(scope="module")
def both(root, tmp_path_factory):
    data = MadeParts(root, "stripes", image_size=64)
    return Engine(tmp_path_factory.mktemp("runs")).fit(newcomers.ImageAndPoints(), data, verbose=False)


def test_an_image_is_a_file_bytes_an_array_or_a_mapping(root, tmp_path) -> None:
    data = MadeParts(root, "stripes", image_size=64)
    inspector = Engine(tmp_path).fit(PatchCore(coreset_sampling_ratio=0.05), data, verbose=False)
    path = data.test_records[0].image
    forms = [path, str(path), path.read_bytes(), read(path), {"image": path}, {"image": path.read_bytes()}]
    found = [inspector.inspect(form).score for form in forms]
    assert len(set(found)) == 1
    many = inspector.inspect([path, path.read_bytes()])
    assert [verdict.score for verdict in many] == pytest.approx(found[:2], rel=1e-5)
    with pytest.raises(InputError, match="the content given as bytes"):
        inspector.inspect(b"no image")


def test_a_part_of_two_files_is_a_mapping_a_pattern_or_a_record(both, root) -> None:
    record = MadeParts(root, "stripes").test_records[0]
    image, points = record.files["image"], record.files["points"]
    by_record = next(both.stream([record])).score
    assert both.inspect({"image": image, "points": points}).score == by_record
    assert both.inspect({"image": read(image), "points": np.load(points)}).score == by_record
    assert both.inspect(image, inputs={"points": "../points/{stem}.npy"}).score == by_record
    folder = both.inspect(image.parent, inputs={"points": "../points/{stem}.npy"})
    assert folder[0].score == by_record
    assert len(folder) == len(list(image.parent.iterdir()))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda i, p: (i, {}), "points"),
        (
            lambda i, p: ({"image": i, "point": p}, {}),
            "a part has no 'point'; it can have image, points, depth, category",
        ),
        (lambda i, p: (i, {"depth": "x.npy"}), "there is no use for files of 'depth'"),
        (lambda i, p: (i, {"points": "../{stm}.npy"}), "stm"),
        (lambda i, p: ([read(i)], {"points": "../points/{stem}.npy"}), "inputs completes paths"),
    ],
)
def test_what_is_no_whole_part_is_refused(both, root, given, said) -> None:
    files = MadeParts(root, "stripes").test_records[0].files
    source, inputs = given(files["image"], files["points"])
    with pytest.raises(InputError, match=said):
        both.inspect(source, inputs=inputs)


def test_files_of_other_sizes_are_refused_by_name(both, root, tmp_path) -> None:
    files = MadeParts(root, "stripes").test_records[0].files
    np.save(tmp_path / "small.npy", np.load(files["points"])[:32])
    with pytest.raises(InputError, match=r"points.*64 x 64|64 x 64.*points|small.npy"):
        both.inspect({"image": files["image"], "points": tmp_path / "small.npy"})
    with pytest.raises(InputError, match=r"gone.npy"):
        both.inspect({"image": files["image"], "points": tmp_path / "gone.npy"})
