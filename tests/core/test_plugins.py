"""A class of another package is named by reference; what a reference cannot be is said."""

from __future__ import annotations

import sys

import pytest
import tests.newcomers  # noqa: F401 - is loaded

from blemish.core.detector import Detector
from blemish.core.errors import InputError
from blemish.core.plugins import imported, loaded, registered


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("./x:Y", "must be package.module:Class, for example own_method:UsualTexture"),
        (":Y", "must be package.module:Class"),
        ("x:", "must be package.module:Class"),
        ("no_such_package.inner:Y", "there is no module 'no_such_package.inner' to import. Install its package"),
        ("json:Nothing", "it does not exist"),
        ("json:dumps", "it is no class"),
        ("json:JSONDecoder", "it is another class"),
    ],
)
def test_what_is_no_reference_is_refused(reference, said) -> None:
    with pytest.raises(InputError, match=said):
        imported(reference, Detector)


def test_a_package_that_lacks_another_says_so_itself(tmp_path, monkeypatch) -> None:
    (tmp_path / "lacking.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        imported("lacking:Y", Detector)


def test_nothing_is_imported_that_nobody_asked_for(tmp_path, monkeypatch) -> None:
    (tmp_path / "unasked.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert loaded("unasked:Y", Detector) is None
    assert "unasked" not in sys.modules
    assert not registered("unasked:Y")
    assert loaded("tests.newcomers:PointsAlone", Detector) is sys.modules["tests.newcomers"].PointsAlone
