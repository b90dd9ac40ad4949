"""Tasks on torch's own threads, on plain ones, and on this one alone."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from blemish.ops import team


@pytest.fixture(params=["torch's threads", "plain threads"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain threads":
        monkeypatch.setattr(team, "_parallel", lambda: None)
    elif team._parallel() is None:
        pytest.skip("torch is built without libgomp")
    return request.param


def test_every_task_is_done_once_and_gives_its_own_result(threads: str) -> None:
    assert team.together([lambda i=i: i * i for i in range(7)]) == [i * i for i in range(7)]
    assert team.together([lambda: "alone"]) == ["alone"]
    assert team.together([]) == []


def test_tasks_run_at_the_same_time(threads: str) -> None:
    """Each waits for the other: one after the other they would never get on."""
    meeting = threading.Barrier(2, timeout=20)
    assert sorted(team.together([meeting.wait, meeting.wait])) == [0, 1]


def test_what_a_task_raises_is_raised_when_all_have_ended(threads: str) -> None:
    ended = []

    def late() -> None:
        time.sleep(0.05)
        ended.append(True)

    def fails() -> None:
        raise ValueError("no such patch")

    with pytest.raises(ValueError, match="no such patch"):
        team.together([fails, late])
    assert ended == [True]


def test_torch_works_on_before_within_and_after(threads: str) -> None:
    a = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    expected = a @ a
    found = team.together([lambda: a @ a, lambda: a @ a])
    for product in (*found, a @ a):
        torch.testing.assert_close(product, expected)
