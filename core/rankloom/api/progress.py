"""Progress bars on stderr (or in a notebook) for what takes more than a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bars", "Tell", "bars", "visible"]

#: Told (what, steps done, of).
Tell = Callable[[str, int, int], None]

#: Seconds after which something is worth a bar.
PATIENCE = 0.5


def visible() -> bool:
    """Return whether somebody looks: stderr is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Bars:
    """One bar a name; the display is on only while some bar is unfinished.

    That lets a trainer show bars of its own in between: two live displays would overwrite each
    other. What is over within half a second shows none.
    """

    def __init__(self) -> None:
        self._display: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._since: dict[str, float] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` steps of ``name`` are over."""
        now = time.monotonic()
        if name not in self._tasks:
            if done >= total or now - self._since.setdefault(name, now) < PATIENCE:
                return
            if self._display is None:
                self._display = _display()
                self._display.start()
            self._tasks[name] = self._display.add_task(name, total=total)
        assert self._display is not None
        self._display.update(self._tasks[name], completed=done, total=total)
        if self._display.finished:
            self.close()

    def close(self) -> None:
        """Take the bars off the screen."""
        if self._display is not None:
            self._display.stop()
        self._display, self._tasks, self._since = None, {}, {}


@contextmanager
def bars(shown: bool, tell: Tell | None) -> Iterator[Tell | None]:
    """Yield whom to tell: the caller's own, else bars where they are wanted, else nobody.

    Args:
        shown: Show bars, if somebody looks.
        tell: The caller's own listener; then there are no bars.
    """
    if tell is not None or not (shown and visible()):
        yield tell
        return
    made = Bars()
    try:
        yield made
    finally:
        made.close()


def _display() -> Progress:
    from rich.console import Console
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
        console=Console(stderr=True),
        transient=True,
    )
