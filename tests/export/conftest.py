"""A detector is traced once, however many tests export it: that takes seconds, and gives the same graph every time."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import pytest


@pytest.fixture(scope="module", autouse=True)
def traced_once() -> Iterator[None]:
    """Keep each detector's graph; a test that changes its copy changes no other's."""
    from blemish.export import graph

    kept: WeakKeyDictionary[object, dict[tuple[int, int], bytes]] = WeakKeyDictionary()
    trace = graph._traced

    def traced(detector, size):
        import onnx

        known = kept.setdefault(detector, {})
        if size not in known:
            known[size] = trace(detector, size).SerializeToString()
        return onnx.load_from_string(known[size])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_traced", traced)
        yield
