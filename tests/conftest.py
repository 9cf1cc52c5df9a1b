"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that may not be passed on."""
    path = Path(os.environ.get("RANKLOOM_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.fail(
            f"The shared data sets are not at {path}. Put them there or set RANKLOOM_SHARED_DATA."
        )
    return path


@pytest.fixture(scope="session")
def ml_small() -> Path:
    """The MovieLens data that ships with the examples."""
    return ROOT / "examples" / "data" / "ml-latest-small"
