"""The world that the sketches are run on, and how they are imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import Tensor

from rankloom.protocols import CandidateBatch, QueryBatch, RaggedIndices
from rankloom.testing import World, make_world

HERE = Path(__file__).parent


def _load(name: str) -> Any:
    path = HERE / f"case_{name}.py"
    spec = importlib.util.spec_from_file_location(f"protocol_case_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def sketch() -> Callable[[str], Any]:
    """Imports a sketch by its name."""
    return _load


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


class Nearest:
    def refresh(self, table: Tensor, rows: Tensor | None) -> None:
        self.table = table

    def retrieve(
        self, queries: QueryBatch, k: int, exclude: RaggedIndices | None
    ) -> CandidateBatch:
        assert queries.encoded is not None
        return CandidateBatch((queries.encoded.vectors @ self.table.T).topk(k).indices)


@pytest.fixture
def nearest() -> Nearest:
    """A retriever by inner product."""
    return Nearest()
