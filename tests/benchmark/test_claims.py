"""Claims: one owner at a time, whatever is killed and whoever is fast."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from blemish.benchmark.claims import Claims
from blemish.core.errors import StorageError

HOLD = "import sys, time; from pathlib import Path; from blemish.benchmark.claims import Claims\n"
HOLD += "print(Claims(Path(sys.argv[1])).claim('cell'), flush=True); time.sleep(60)"


def test_one_owner_at_a_time(tmp_path) -> None:
    with closing(Claims(tmp_path)) as one, closing(Claims(tmp_path)) as other:
        assert one.claim("cell")
        assert not other.claim("cell")
        assert not one.claim("cell")
        assert other.claim("cell2")
        one.release("cell")
        assert other.claim("cell")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_owners_claim_is_taken_over_by_one_only(tmp_path) -> None:
    """The claim of a killed owner is taken over at once and by one only."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "True\n"
        with closing(Claims(tmp_path)) as runner:
            assert not runner.claim("cell")
            owner.send_signal(signal.SIGKILL)
            while not runner.claim("cell"):  # killed, but perhaps not dead yet
                time.sleep(0.01)
            with closing(Claims(tmp_path)) as late:
                assert not late.claim("cell")
            runner.release("cell")
            assert not list(tmp_path.glob("cell.*"))


def test_of_many_who_find_a_dead_claim_one_wins(tmp_path) -> None:
    for round_ in range(20):
        dead = {"machine": "another", "pid": 1, "started": "1", "token": ""}
        (tmp_path / f"cell{round_}.1").write_text(json.dumps(dead))
        os.utime(tmp_path / f"cell{round_}.1", (0, 0))
        runners = [Claims(tmp_path) for _ in range(4)]
        won: list[bool] = []
        start = threading.Barrier(len(runners))

        def race(runner: Claims, name: str, start: threading.Barrier, won: list[bool]) -> None:
            start.wait()
            won.append(runner.claim(name))

        threads = [threading.Thread(target=race, args=(r, f"cell{round_}", start, won)) for r in runners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won.count(True) == 1
        for runner in runners:
            runner.close()


def test_another_machines_claim_stands_while_it_is_renewed(tmp_path) -> None:
    far = {"machine": "another", "pid": os.getpid(), "started": "1", "token": ""}
    (tmp_path / "cell.1").write_text(json.dumps(far))
    with closing(Claims(tmp_path, dead=3600)) as runner:
        assert not runner.claim("cell")
        os.utime(tmp_path / "cell.1", (0, 0))
        assert runner.claim("cell")
        assert (tmp_path / "cell.2").exists()


def test_the_owner_renews(tmp_path) -> None:
    with closing(Claims(tmp_path, renew=0.01)) as runner:
        runner.claim("cell")
        os.utime(tmp_path / "cell.1", (0, 0))
        end = time.monotonic() + 60  # generous: only a claim that is never renewed fails
        while (renewed := (tmp_path / "cell.1").stat().st_mtime) == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert renewed > 0


def test_a_process_number_used_again_is_not_the_owner(tmp_path) -> None:
    with closing(Claims(tmp_path)) as runner:
        if runner._me["machine"] is None:
            pytest.skip("this system does not say when a process started")
        (tmp_path / "cell.1").write_text(json.dumps({**runner._me, "started": "1"}))
        assert runner.claim("cell")


def test_a_folder_that_cannot_be_made_is_said(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        Claims(tmp_path / "file" / "claims")
