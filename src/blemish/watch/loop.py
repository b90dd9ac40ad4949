"""Watch: the loop from a folder to a journal. Finding runs in a thread; inspecting and writing happen here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Protocol

from blemish.core.errors import ImageError, InputError
from blemish.core.files import printable, sha256
from blemish.core.inputs import KINDS
from blemish.core.prediction import Prediction
from blemish.imaging.images import Imaging
from blemish.imaging.parts import preview
from blemish.inference.calibration import Calibration
from blemish.watch.backlog import Backlog, FileState, now_at
from blemish.watch.find import Finder, Sweep, check_folders, chooser
from blemish.watch.inspect import Status, Throughput, checked, line_of, sweep_up, write_overlay
from blemish.watch.journal import DiskSpace, Journal, Stopped, only_watcher

TICK = 0.05
"""Seconds between two checks for work, when there is none."""


class Looks(Protocol):
    """What can inspect files: an `Inspector`, or the `Runtime` of an exported one.

    Attributes:
        imaging: How images are read and prepared.
        calibration: The threshold and its guarantee, or None.
        inputs: The kinds of input it looks at.
    """

    imaging: Imaging
    calibration: Calibration | None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The kinds of input it looks at."""

    def completed(self, sources: Iterable[Any]) -> list[Any]:
        """Return files with their category, where it is known.

        Args:
            sources: Files.

        Returns:
            Sources for `stream`.
        """

    def stream(self, sources: Iterable[Any], *, batch_size: int = 8) -> Iterator[Prediction]:
        """Inspect files one after another.

        Args:
            sources: Files.
            batch_size: Images per forward pass.

        Returns:
            The verdicts, in order.
        """


class Watch:
    """Inspect every image file in a folder and below once it is complete, and write the results.

    Args:
        folder: The watched folder.
        model: What inspects; it must have a threshold.
        out: Folder of results; it may be inside the watched one, where it is left out.
        model_hash: SHA-256 of the model file, written into every line.
        batch_size: Images per forward pass, 1 or more.
        settle: Seconds; a file is complete when its size and time of writing have not changed for so long and it can be
            read.
        give_up: Seconds; a file that cannot be read is tried again, and becomes an error when it has not changed for so
            long after `settle`.
        poll: Seconds between two sweeps of the folder, more than 0; longer for a large folder.
        patterns: Patterns of names (`top_*`) or paths (`cam1/*.png`); without any, all images are inspected.
        since: Files last written before are skipped; seconds since 1970.
        content_hash: Whether each line holds the SHA-256 of the file.
        rotate_bytes: Size above which a new journal is begun; None for never.
        say: Callback for messages to people.
        show: Callback for each line after it is on the disk.

    Raises:
        InputError: a folder, a pattern or a time that cannot be used, or a model without a threshold.
    """

    def __init__(
        self,
        folder: Path | str,
        model: Looks,
        out: Path | str,
        *,
        model_hash: str = "",
        batch_size: int = 8,
        settle: float = 1.0,
        give_up: float = 30.0,
        poll: float = 0.5,
        patterns: Sequence[str] = (),
        since: float = 0.0,
        content_hash: bool = False,
        rotate_bytes: int | None = None,
        say: Callable[[str], None] = lambda message: None,
        show: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> None:
        self.folder, self.model, self.out, self.model_hash = Path(folder), model, Path(out), model_hash
        self.batch_size, self.poll, self.content_hash, self.rotate_bytes = batch_size, poll, content_hash, rotate_bytes
        self.say, self.show, self.since_ns = say, show, int(since * 1e9)
        if wrong := check_folders(self.folder, self.out):
            raise InputError(wrong)
        if model.calibration is None:
            raise InputError(
                "the model has no threshold, so nothing would be decided. Choose one: blemish calibrate ..."
            )
        if len(files := [name for name in model.inputs if KINDS[name].channels]) > 1:
            raise InputError(
                f"the model looks at several files of a part ({', '.join(files)}), and a watched folder brings them one by "
                "one. Inspect the parts when all of their files are there: blemish inspect MODEL FOLDER --input ..."
            )
        if settle < 0 or give_up < 0 or poll <= 0 or batch_size < 1:
            raise InputError(
                f"settle {settle} and give_up {give_up} must be 0 s or more, poll {poll} more than 0 s, "
                f"batch_size {batch_size} at least 1"
            )
        self.pixel_threshold = model.calibration.pixel_threshold
        self.chosen = chooser(patterns)
        self.backlog = Backlog(settle, give_up)
        self._stop = Event()
        self._space, self._throughput, self._counts = DiskSpace(self._stop, say), Throughput(), Counter[str]()
        self._in_hand: deque[FileState] = deque()
        self._sweep: Sweep | None = None

    def stop(self) -> None:
        """Ask `run` to end when the files that are being inspected are written; may be called from anywhere."""
        self._stop.set()

    @property
    def status(self) -> Status:
        """The present status; may be read from another thread while `run` works."""
        oldest = self.backlog.oldest()
        return Status(
            waiting=len(self.backlog),
            rate=self._throughput.rate,
            oldest=0.0 if oldest is None else monotonic() - oldest,
            good=self._counts["good"],
            defective=self._counts["defective"],
            error=self._counts["error"],
            unseen=0 if self._sweep is None else self._sweep.unseen,
            paused=self._space.reason,
        )

    def run(self, *, once: bool = False) -> Status:
        """Watch until `stop` is called.

        Args:
            once: Whether to end as soon as nothing waits any more.

        Returns:
            The status at the end.

        Raises:
            InputError: another watcher writes to the same folder of results.
            StorageError: the results cannot be written, for another reason than a full disk.
        """
        with only_watcher(self.out):
            sweep_up(self.out)
            self._journal = Journal(self.out, rotate_bytes=self.rotate_bytes, say=self.say)
            self._sweep = Sweep(
                self.folder, self.out, self.backlog, self._journal.__contains__, self.chosen, self.since_ns, self.say
            )
            finder = Finder(self._sweep, self.backlog, self.poll, self._stop, self.say)
            finder.start()
            try:
                self._work(finder, once)
                self._commit()
            except Stopped:
                self.say(f"stopped while paused; {self._journal.waiting} parts will be looked at again.")
            except Exception:
                with suppress(OSError):  # what is known is kept; the error that ends us is the one to show
                    self._journal.commit()
                raise
            finally:
                self._stop.set()
                finder.join()
                self._journal.close()
        return self.status

    def _work(self, finder: Finder, once: bool) -> None:
        empty_at: int | None = None  # the sweeps that had ended when nothing waited any more
        while not self._stop.is_set():
            if finder.failure is not None:
                raise finder.failure
            before = self.backlog.swept
            files = self.backlog.take(monotonic(), 4 * self.batch_size)
            if files:
                self._look(files)
                empty_at = None
                continue
            self._commit()
            empty_at = None if len(self.backlog) else before if empty_at is None else empty_at
            if once and empty_at is not None and before >= empty_at + 2:  # a whole sweep since then found nothing
                return
            with self.backlog.changed:
                self.backlog.changed.wait(TICK)

    def _look(self, first: list[FileState]) -> None:
        """Inspect these files and all that become complete meanwhile."""
        self._in_hand.clear()
        try:
            for verdict in self.model.stream(self._feed(first), batch_size=self.batch_size):
                self._conclude(self._in_hand.popleft(), checked(verdict))
        except Exception as error:
            error.add_note("In hand: " + ", ".join(printable(file.path) for file in self._in_hand))
            raise

    def _feed(self, first: list[FileState]) -> Iterator[Any]:
        ready = deque(first)
        while not self._stop.is_set():
            if self._journal.due:  # the model has just finished a batch
                self._commit()
            if not ready:
                ready.extend(self.backlog.take(monotonic(), 4 * self.batch_size))
            if not ready:
                return
            self._in_hand.append(ready.popleft())
            yield self._part(self.folder / self._in_hand[-1].path)

    def _part(self, path: Path) -> Any:
        """Return the file, with its category where the model knows the folder's name as one."""
        return self.model.completed([path])[0]

    def _conclude(self, file: FileState, verdict: Prediction) -> None:
        """Write the verdict, unless the file is gone or has changed by now, or may be readable later."""
        more = self._second_reading(file, verdict)
        try:
            now = now_at(self.folder, file.path)
        except OSError:  # the share is away; a verdict that was reached counts all the same
            if verdict.error is not None:
                return self.backlog.postpone(file, monotonic())
            now = file
        if now is not None and now != file:  # rewritten during inspection: the verdict may be on either state
            if more["overlay"] is not None:
                (self.out / more["overlay"]).unlink(missing_ok=True)
            return self.backlog.drop(file.path)
        if verdict.error is not None:
            if now is None:
                self.say(f"{printable(file.path)} vanished before it was looked at.")
                return self.backlog.drop(file.path)
            if not self.backlog.has_had_its_time(file, monotonic()):
                return self.backlog.postpone(file, monotonic())
        self._journal.add(file, line_of(file, verdict, self.model_hash, **more))
        self.backlog.drop(file.path)
        self._throughput.part()
        if self._journal.due:
            self._commit()
        return None

    def _second_reading(self, file: FileState, verdict: Prediction) -> dict[str, str | None]:
        """Return the picture's path and the content's hash, for which the file is read again."""
        more: dict[str, str | None] = {"overlay": None}

        def write() -> str:
            image = preview(self.model.imaging, self.folder / file.path, self.model.inputs)
            return write_overlay(self.out, file, verdict, image, self.pixel_threshold)

        try:
            if verdict.defective:
                more["overlay"] = self._space.wait_for(write, self.out)
            if self.content_hash and verdict.error is None:
                more["sha256"] = sha256(self.folder / file.path)
        except (ImageError, OSError) as error:  # the verdict counts more than its picture
            more["note"] = str(error)
        return more

    def _commit(self) -> None:
        for line in self._space.wait_for(self._journal.commit, self._journal.path):
            self._counts[line["verdict"]] += 1
            self.show(line)
