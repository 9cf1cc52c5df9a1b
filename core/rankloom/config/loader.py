"""Read a pipeline file; every mistake in it is one line that names file, line and key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rankloom.config.checks import check
from rankloom.config.explain import Loc, explain
from rankloom.config.overrides import apply_overrides
from rankloom.config.pipeline import PipelineConfig
from rankloom.config.positions import Source
from rankloom.errors import ConfigError
from rankloom.registry import Registry, default_registry

__all__ = ["dump", "expand", "load_config"]


def load_config(
    source: str | Path | Mapping[str, Any] | PipelineConfig,
    *,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
) -> PipelineConfig:
    """Read and check a pipeline.

    Args:
        source: Path of a YAML file, YAML text, a mapping, or a typed config.
        overrides: ``a.b=value`` entries, applied in order before anything is checked.
        registry: Where component names are resolved; default: the installed plugins.

    Raises:
        ConfigError: Listing everything that is wrong, a line each:
            ``movie.yaml:4: models.seq.items.encoders.title.lerning_rate: unknown field for encoder
            'bert'. Did you mean 'learning_rate'?``
    """
    registry = registry or default_registry()
    parsed = _read(source)
    data, origins = apply_overrides(_data(source, parsed), overrides)
    try:
        config = PipelineConfig.model_validate(data, context={"registry": registry})
    except ValidationError as error:
        details = explain(error, PipelineConfig, "a pipeline", aliases=("model",))
        found = [(one.get("loc", ()), str(one["type"])) for one in details]
    else:
        found = check(config, registry)
        if not found:
            return config
    if parsed is not None:
        found.sort(key=lambda one: parsed.locate(tuple(one[0]))[0])
    lines = [_line(tuple(loc), message, parsed, origins) for loc, message in found]
    raise ConfigError("\n".join(dict.fromkeys(lines)))


def dump(config: PipelineConfig) -> dict[str, Any]:
    """Return the config as plain data with every default filled in; it loads to the same config."""
    return config.model_dump(mode="json")


def expand(config: PipelineConfig) -> str:
    """Return the config as YAML with every default filled in."""
    return yaml.safe_dump(dump(config), sort_keys=False, allow_unicode=True, width=100)


def _read(source: str | Path | Mapping[str, Any] | PipelineConfig) -> Source | None:
    if isinstance(source, Mapping | PipelineConfig):
        return None
    if isinstance(source, str) and _is_text(source):
        return Source(source, "<text>")
    path = Path(source)
    if not path.is_file():
        raise ConfigError(_missing(path))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 text (byte {error.start}). Is it a pipeline file?"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}.") from error
    return Source(text, str(path))


def _data(source: Any, parsed: Source | None) -> Mapping[str, Any]:
    if parsed is not None:
        return parsed.data
    return dump(source) if isinstance(source, PipelineConfig) else dict(source)


def _is_text(source: str) -> bool:
    return "\n" in source or ": " in source or source.lstrip().startswith("{")


def _missing(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder, not a pipeline file."
    folder = path.parent
    if not folder.is_dir():
        return f"There is no pipeline file {path}: the folder {folder} does not exist."
    there = sorted(one.name for one in folder.iterdir() if one.suffix in (".yaml", ".yml"))
    near = difflib.get_close_matches(path.name, there, n=1, cutoff=0.5)
    hint = f" Did you mean {str(folder / near[0])!r}?" if near else ""
    if not near:
        hint = (
            f" YAML files there: {', '.join(there[:5])}."
            if there
            else " `rankloom init` writes one."
        )
    return f"There is no pipeline file {path}.{hint}"


def _line(loc: Loc, message: str, parsed: Source | None, origins: Mapping[Loc, str]) -> str:
    for path, override in origins.items():
        added = bool(loc) and path[: len(loc)] == loc and not _stands(parsed, loc)
        if added or loc[: len(path)] == path or loc[1 : len(path) + 1] == path:
            return f"override {override!r}: {_dotted(loc)}: {message}"
    if parsed is None:
        return f"{_dotted(loc)}: {message}" if loc else message
    line, path = parsed.locate(loc)
    where = f"{parsed.name}:{line}"
    return f"{where}: {_dotted(path)}: {message}" if path else f"{where}: {message}"


def _stands(parsed: Source | None, loc: Loc) -> bool:
    """Return whether the file itself has something at a location."""
    value: Any = {} if parsed is None else parsed.data
    for part in loc:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _dotted(loc: Loc) -> str:
    return ".".join(str(part) for part in loc)
