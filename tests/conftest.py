"""What every test process begins with, the order of the files, and what could not run here.

One thread each: workers that share two cores would otherwise wait for each other's threads. And Ctrl-C as it is in a
terminal: a shell that starts the suite in its background leaves it ignored, also for the processes that tests start.
Hypothesis looks at answers, not at how long one takes: a machine may be busy.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start
os.environ["HF_HUB_OFFLINE"] = "1"
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("blemish", deadline=None)
settings.load_profile("blemish")


def pytest_collection_modifyitems(items) -> None:
    """Files with slow tests come first, so that no worker is left with one when the others have finished."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_terminal_summary(terminalreporter) -> None:
    """Name in one line what could not run on this machine."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    if reasons:
        said = "; ".join(f"{reason} ({count})" for reason, count in reasons.items())
        terminalreporter.write_line(f"not run on this machine, {sum(reasons.values())} tests: {said}")


@pytest.fixture(scope="module")
def traced_once() -> Iterator[None]:
    """Trace a detector once, however many tests export it: that takes seconds, and gives the same graph every time."""
    from blemish.export import graph

    kept: WeakKeyDictionary[object, dict[tuple[int, int], bytes]] = WeakKeyDictionary()
    trace = graph._traced

    def traced(detector, size, name):
        import onnx

        known = kept.setdefault(detector, {})
        if size not in known:
            known[size] = trace(detector, size, name).SerializeToString()
        return onnx.load_from_string(known[size])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_traced", traced)
        yield
