"""``log.jsonl``: what happened in a run, one line an event."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RunLog"]


class RunLog:
    """Appends events to a file; each line stands by itself, so that a run can be watched.

    It holds a path alone and goes to spawned processes as it is.

    Args:
        path: The file; its folder must be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: str, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Write one line: the event, the time (seconds since 1970), and what else is given."""
        entry = {"event": event, "time": round(time.time(), 3), **more, **(values or {})}
        plain = {name: _plain(value) for name, value in entry.items()}
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(plain) + "\n")


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
