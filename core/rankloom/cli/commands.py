"""Commands that plugins bring: their config's fields are the options.

They are found without importing torch: the manifests alone are read, and the implementation is
imported when the command runs.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer
from typer.main import get_command

from rankloom.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from rankloom.components import ComponentSpec

__all__ = ["plugin_commands"]

_LISTS = (list, tuple, set, frozenset)
_METAVARS = {int: "INTEGER", float: "FLOAT", str: "TEXT", Path: "PATH"}


def plugin_commands() -> dict[str, Any]:
    """Return the commands of all plugins by name, ready to be mounted."""
    from rankloom.host import get_command_host

    specs = [spec for spec in get_command_host().components() if spec.kind == "command"]
    return {spec.name: _command(spec) for spec in sorted(specs, key=lambda spec: spec.name)}


def _command(spec: ComponentSpec) -> Any:
    app = typer.Typer(add_completion=False)
    panel = f"Commands of plugin {spec.plugin}"
    app.command(spec.name, help=inspect.getdoc(spec.config), rich_help_panel=panel)(_function(spec))
    return get_command(app)


def _function(spec: ComponentSpec) -> Callable[..., None]:
    """Return a function whose signature is the config's fields."""

    parameters = list(_parameters(spec))

    def call(**options: Any) -> None:
        given = {name: value for name, value in options.items() if value not in (None, [])}
        code = _run(spec, given)
        if code:
            raise typer.Exit(code)

    # typer reads options off a signature; functions have this attribute, their stub does not.
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _parameters(spec: ComponentSpec) -> Iterator[inspect.Parameter]:
    for name, field in spec.config.model_fields.items():
        if name == "type":
            continue
        kind = _plain(field.annotation)
        name = field.alias or name  # such as "json", which no pydantic field may be called
        dashed = name.replace("_", "-")
        flag = kind is bool
        option = typer.Option(
            f"--{dashed}/--no-{dashed}" if flag else f"--{dashed}",
            help=field.description,
            metavar=None if flag else _metavar(kind),
            show_default=_default(field, dashed),
        )
        value = bool if flag else list[str] if get_origin(kind) in _LISTS else str
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.is_required() else None,
            annotation=Annotated[value if field.is_required() else value | None, option],
        )


def _plain(annotation: Any) -> Any:
    """Return the type without ``| None`` around it."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [one for one in get_args(annotation) if one is not type(None)]
        return inner[0] if len(inner) == 1 else annotation
    return annotation


def _metavar(kind: Any) -> str:
    if get_origin(kind) in _LISTS:
        return _metavar((get_args(kind) or (str,))[0])
    if get_origin(kind) is Literal:
        return "|".join(str(choice) for choice in get_args(kind))
    return _METAVARS.get(kind, "YAML" if _is_nested(kind) else "TEXT")


def _default(field: FieldInfo, dashed: str) -> bool | str:
    """Return how the default is written in the help; False where there is nothing to say."""
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if isinstance(default, bool):
        return f"--{dashed}" if default else f"--no-{dashed}"
    return False if default in (None, "", [], (), {}) else str(default)


def _is_nested(kind: Any) -> bool:
    from pydantic import BaseModel

    own = get_origin(kind) or kind
    return own is dict or (isinstance(own, type) and issubclass(own, BaseModel))


def _run(spec: ComponentSpec, given: dict[str, Any]) -> int:
    """Check the options, build the command and run it; return its exit code.

    Raises:
        ConfigError: An option has a wrong value.
        PluginError: The command cannot be imported, has no ``run`` or returned no exit code.
    """
    from pydantic import ValidationError

    for name, value in given.items():
        if isinstance(value, str) and _is_nested(_plain(_field(spec, name).annotation)):
            import yaml

            given[name] = yaml.safe_load(value)
    try:
        config = spec.config.model_validate({"type": spec.name, **given})
    except ValidationError as error:
        raise ConfigError(_wrong(spec, error)) from error
    from rankloom.protocols import Build
    from rankloom.registry import default_registry

    folder = Path.cwd()
    build = Build(base_dir=folder, cache_dir=folder / ".rankloom" / "cache")
    command = default_registry().implementation(spec)(config, build)
    if not callable(getattr(command, "run", None)):
        raise PluginError(
            f"Command {spec.name!r} of plugin {spec.plugin!r}: {spec.target} has no run(); see "
            f"rankloom.protocols.Command."
        )
    code = command.run()
    if code is None or isinstance(code, int):
        return int(code or 0)
    raise PluginError(
        f"Command {spec.name!r} of plugin {spec.plugin!r}: run() returned "
        f"{type(code).__name__}; return an exit code or None, and print what is to be seen."
    )


def _field(spec: ComponentSpec, option: str) -> FieldInfo:
    fields = spec.config.model_fields
    return next(one for name, one in fields.items() if (one.alias or name) == option)


def _wrong(spec: ComponentSpec, error: Any) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    where = f"--{name.replace('_', '-')}" if name else "its options"
    return (
        f"rankloom {spec.name}: {where} {first['input']!r}: {first['msg']}. "
        f"`rankloom {spec.name} --help` lists the options."
    )
