"""Watching a folder: files are inspected as they are completed, each exactly once, even across kills and restarts."""

from blemish.watch.backlog import FileState
from blemish.watch.inspect import Status
from blemish.watch.loop import Looks, Watch

__all__ = ["FileState", "Looks", "Status", "Watch"]
