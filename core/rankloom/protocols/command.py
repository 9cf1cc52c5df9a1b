"""What a plugin adds to the command line."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Command"]


@runtime_checkable
class Command(Protocol):
    """A subcommand of ``rankloom``. Built as ``Class(config, build)``.

    Its config's fields are its options: ``half_life: float = 30`` is ``--half-life``, a bool is
    ``--fast/--no-fast``, a list is repeated, a field without default is required, and the field's
    docstring is its help. ``build.base_dir`` is the current folder.
    """

    def run(self) -> int | None:
        """Do the work, printing to stdout; return the exit code (None: 0).

        Raises:
            rankloom.errors.RankloomError: Printed as one message, with its exit code.
        """
        ...
