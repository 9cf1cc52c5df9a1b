"""The command line; ``main`` is the entry point ``rankloom``."""

from __future__ import annotations

from rankloom.cli.app import app, main

__all__ = ["app", "main"]
