"""Where in a YAML file a value stands."""

from __future__ import annotations

from typing import Any

import yaml

from rankloom.config.explain import Loc
from rankloom.errors import ConfigError

__all__ = ["Source", "parse"]


class _Loader(yaml.SafeLoader):
    """The safe loader; YAML 1.1's ``1e-3`` is text there and is left for pydantic to read."""


class Source:
    """A parsed YAML text that remembers lines.

    Args:
        text: The file's content.
        name: What to call it in messages.

    Raises:
        ConfigError: It is empty, not YAML, not a mapping, or has a key twice.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        loader = _Loader(text)
        try:
            self._root = loader.get_single_node()
            if self._root is None:
                raise ConfigError(f"{name} is empty. `rankloom init` writes a pipeline file.")
            _check_keys(self._root, name, (), set())
            data = loader.construct_document(self._root)
        except yaml.YAMLError as error:
            raise ConfigError(_yaml_error(error, name)) from error
        finally:
            loader.dispose()
        if not isinstance(data, dict):
            raise ConfigError(f"{name}:1: expected a mapping of keys, got {type(data).__name__}.")
        self.data: dict[str, Any] = data

    def locate(self, loc: Loc) -> tuple[int, Loc]:
        """Return line and path of a location.

        Parts that the file does not have (filled in by short forms, or missing) are left out of
        the path, but for the last one.
        """
        node, line, path = self._root, 1, []
        for depth, part in enumerate(loc):
            found = _child(node, part)
            if found is not None:
                key, node = found
                line = key.start_mark.line + 1
            # What is missing from a mapping is worth naming; a short form has no such part.
            last = depth == len(loc) - 1 and isinstance(node, yaml.MappingNode)
            if found is not None or last:
                path.append(part)
        return line, tuple(path)


def parse(text: str, name: str) -> Any:
    """Parse one YAML value, as overrides hold it.

    Raises:
        ConfigError: It is not YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(_yaml_error(error, name)) from error


def _child(node: Any, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _check_keys(node: yaml.Node, name: str, path: Loc, done: set[int]) -> None:
    """Refuse keys that stand twice in one mapping; YAML would silently keep the last."""
    if id(node) in done:
        return
    done.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _check_keys(value, name, (*path, index), done)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            inner = (*path, str(key.value))
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{name}:{line}: a key must be text.")
            if key.value in lines:
                raise ConfigError(
                    f"{name}:{line}: {'.'.join(map(str, inner))}: the key stands twice, first in "
                    f"line {lines[key.value]}; remove one."
                )
            lines[key.value] = line
            _check_keys(value, name, inner, done)


def _yaml_error(error: yaml.YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark is not None else name
    context = getattr(error, "context", None)
    return f"{where}: not valid YAML: {problem}{f' ({context})' if context else ''}."
