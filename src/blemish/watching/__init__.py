"""Watching a folder: parts are inspected as their files are completed, each exactly once, whatever is killed between."""

from blemish.watching.pace import Status
from blemish.watching.part import Part
from blemish.watching.watch import Looks, Watch

__all__ = ["Looks", "Part", "Status", "Watch"]
