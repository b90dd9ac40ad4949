"""Watching a folder: parts are inspected as their files are completed, each exactly once, whatever is killed between."""

from blemish.watch.find import FileState
from blemish.watch.inspect import Status
from blemish.watch.loop import Looks, Watch

__all__ = ["FileState", "Looks", "Status", "Watch"]
