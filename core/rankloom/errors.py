"""Every exception Rankloom raises on purpose.

::

    RankloomError
    ├── ConfigError            a pipeline file or typed config is wrong        (exit code 2)
    │   └── MissingExtraError  a component needs an optional dependency        (exit code 2)
    ├── PluginError            a plugin could not be found, loaded or checked  (exit code 2)
    ├── DataError              a file, row or value of the data is wrong       (exit code 1)
    ├── QueryError             a request cannot be understood                  (exit code 2)
    ├── BundleError            a saved pipeline cannot be read                 (exit code 1)
    └── NotFittedError         asked for an answer before ``fit``              (exit code 1)

A message says what is wrong, where, why, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BundleError",
    "ConfigError",
    "DataError",
    "MissingExtraError",
    "NotFittedError",
    "PluginError",
    "QueryError",
    "RankloomError",
    "did_you_mean",
]


class RankloomError(Exception):
    """Root of all errors that Rankloom raises on purpose."""

    exit_code = 1


class ConfigError(RankloomError):
    """A pipeline file or a typed config is wrong."""

    exit_code = 2


class MissingExtraError(ConfigError):
    """A component needs an optional dependency that is not installed."""

    def __init__(
        self, component: str, package: str, extra: str, distribution: str = "rankloom"
    ) -> None:
        wanted = f"{distribution}[{extra}]" if distribution else package
        super().__init__(
            f"{component} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install '{wanted}'"
        )


class PluginError(RankloomError):
    """A plugin could not be found, loaded or checked."""

    exit_code = 2


class DataError(RankloomError):
    """A file, a row or a value of the data is wrong."""


class QueryError(RankloomError):
    """A request cannot be understood."""

    exit_code = 2


class BundleError(RankloomError):
    """A saved pipeline cannot be read."""


class NotFittedError(RankloomError):
    """An answer was asked for before ``fit``."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest option, or an empty string.

    Args:
        name: What was written.
        options: What could have been meant.
    """
    close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
