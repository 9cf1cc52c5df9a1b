"""``rankloom data``: what a pipeline's data holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from rankloom.cli.options import ConfigFile, Json, Overrides
from rankloom.cli.show import emit_json, print_table

__all__ = ["app", "describe_data"]

app = typer.Typer(help="The data of a pipeline.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """The data of a pipeline."""


@app.command("describe")
def describe_data(config: ConfigFile, set_: Overrides = None, json: Json = False) -> None:
    """Print sizes, fields, positives, ties in time, cold share and what the split makes of it."""
    from rankloom.config import load_config

    loaded = load_config(config, overrides=tuple(set_ or ()))
    from rankloom.api.loading import load_dataset, make_split
    from rankloom.data.describe import describe
    from rankloom.registry import default_registry

    registry = default_registry()
    dataset = load_dataset(loaded, registry, config.resolve().parent)
    facts = describe(dataset, make_split(loaded, registry, dataset))
    if json:
        emit_json(facts)
        return
    for title, part in _sections(facts):
        print_table(title, ["what", "value"], [[k.replace("_", " "), v] for k, v in part.items()])


def _sections(facts: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield titled parts: the plain facts first, then every nested mapping by its name."""
    own = {key: value for key, value in facts.items() if not isinstance(value, Mapping)}
    if own:
        yield "", own
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield key, value
