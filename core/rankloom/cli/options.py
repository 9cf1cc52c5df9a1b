"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["BaseDir", "ConfigFile", "FittedDir", "Json", "Overrides", "TopK"]

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Pipeline file (YAML).", show_default=False)
]

FittedDir = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="Run directory or bundle of a fit.", show_default=False),
]

BaseDir = Annotated[
    Path | None,
    typer.Option(
        help="Where relative paths of the config start (a folder of model weights); default: here.",
        show_default=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a config key (models.seq.training.epochs=3); repeat for more.",
        show_default=False,
    ),
]

TopK = Annotated[int, typer.Option("-k", "--k", min=1, help="How many items to show.")]
