"""Tasks on torch's own threads, on plain ones, and on this one alone."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from blemish.ops import threads


@pytest.fixture(params=["torch's threads", "plain threads"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain threads":
        monkeypatch.setattr(threads, "_parallel", lambda: None)
    elif threads._parallel() is None:
        pytest.skip("torch is built without libgomp")
    return request.param


def test_every_task_is_done_once_and_gives_its_own_result(either: str) -> None:
    assert threads.together([lambda i=i: i * i for i in range(7)]) == [i * i for i in range(7)]
    assert threads.together([lambda: "alone"]) == ["alone"]
    assert threads.together([]) == []


def test_tasks_run_at_the_same_time(either: str) -> None:
    """Each waits for the other: one after the other they would never get on."""
    meeting = threading.Barrier(2, timeout=20)
    assert sorted(threads.together([meeting.wait, meeting.wait])) == [0, 1]


def test_what_a_task_raises_is_raised_when_all_have_ended(either: str) -> None:
    ended = []

    def late() -> None:
        time.sleep(0.05)
        ended.append(True)

    def fails() -> None:
        raise ValueError("no such patch")

    with pytest.raises(ValueError, match="no such patch"):
        threads.together([fails, late])
    assert ended == [True]


def test_torch_works_on_before_within_and_after(either: str) -> None:
    a = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    expected = a @ a
    found = threads.together([lambda: a @ a, lambda: a @ a])
    for product in (*found, a @ a):
        torch.testing.assert_close(product, expected)
