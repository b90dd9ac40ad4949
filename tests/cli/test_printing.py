"""What is printed for people holds nothing that their terminal obeys, whoever named the files and wrote the models."""

import json

import pytest
from safetensors.numpy import save_file

from blemish.cli import stopping
from blemish.cli.describe import describe
from blemish.cli.literature import _show_table
from blemish.cli.printing import print_tree
from blemish.core.errors import DataError
from blemish.core.tables import Table
from blemish.evaluation.report import Report
from blemish.report.figures import distributions

EVIL = "\x1b]0;title\x07"


def test_what_a_model_file_says_of_itself(tmp_path, capsys) -> None:
    header = {
        EVIL: json.dumps({EVIL: [EVIL], "a": {"b": EVIL}}),
        "plain": EVIL,
        "deep": "[" * 100_000,
        "long": "9" * 5_000,
    }
    save_file({}, tmp_path / "m.safetensors", header)
    print_tree(describe(str(tmp_path / "m.safetensors"))[0])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said.count(r"\x1b]0;title\x07") == 5


def test_errors_keep_their_lines(capsys) -> None:
    with pytest.raises(SystemExit), stopping():
        raise DataError(f"{EVIL} holds no image.\nCheck the path.")
    assert capsys.readouterr().err == "blemish: \\x1b]0;title\\x07 holds no image.\nCheck the path.\n"


def test_kinds_and_notes_of_a_report() -> None:
    kind = {"kind": f"a{EVIL}", "count": 3, "auroc": 0.5, "escapes": None}
    found = Report({}, {}, [kind], [], {}, None, {}, [f"{EVIL} has no mask"])
    assert "\x1b" not in found.text()
    assert r"a\x1b]0;title\x07" in found.text()


def test_tables_of_the_literature(capsys) -> None:
    _show_table(Table("", ("method",), [[EVIL]]))
    assert "\x1b" not in capsys.readouterr().out


def test_a_kind_whose_name_is_no_text_is_drawn() -> None:
    assert r"caf\udce9" in distributions({"good": [0.1], "caf\udce9": [0.9]}, 0.5)
