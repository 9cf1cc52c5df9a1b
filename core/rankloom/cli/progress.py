"""Progress bars on stderr for what takes more than a moment."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rankloom.cli.show import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bars", "bars"]


class Bars:
    """One bar a name; the display is on only while some bar is unfinished.

    That lets a trainer show bars of its own in between: two live displays would overwrite each
    other.

    Args:
        shown: False shows nothing, nor does a stderr that is no terminal.
    """

    def __init__(self, shown: bool) -> None:
        self.shown = shown and sys.stderr.isatty()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` steps of ``name`` are over."""
        if not self.shown:
            return
        if self._progress is None:
            self._progress = _display()
            self._progress.start()
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)
        if self._progress.finished:
            self.close()

    def close(self) -> None:
        """Take the bars off the screen."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._tasks = None, {}


@contextmanager
def bars(shown: bool) -> Iterator[Bars]:
    """Yield bars that are gone afterwards, whatever happens."""
    made = Bars(shown)
    try:
        yield made
    finally:
        made.close()


def _display() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
    )
