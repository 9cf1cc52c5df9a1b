"""An item encoder used again on the query side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rankloom.errors import NotFittedError
from rankloom.protocols import Build, Encoded, Encoder, Features
from rankloom_plugins.text.plugin import ReuseConfig

__all__ = ["ReuseEncoder"]


class ReuseEncoder:
    """Stands for the item encoder that ``bind`` gives it.

    It is no ``nn.Module`` on purpose: the parameters are the item tower's, and must be saved and
    trained once.

    Args:
        config: Names the item encoder.
        build: Not used.
    """

    fingerprint: Callable[[], str] | None

    def __init__(self, config: ReuseConfig, build: Build) -> None:
        self.encoder = config.encoder
        self.dim = 0
        self.fingerprint = None
        self._target: Encoder | None = None

    def bind(self, encoder: Encoder) -> None:
        """Take the item encoder; ``dim`` is known from now on."""
        self._target = encoder
        self.dim = encoder.dim
        asymmetric = hasattr(encoder, "collate_query")  # what is cached is of items
        self.fingerprint = None if asymmetric else getattr(encoder, "fingerprint", None)

    @property
    def target(self) -> Encoder:
        """The item encoder.

        Raises:
            NotFittedError: ``bind`` was not called.
        """
        if self._target is None:
            raise NotFittedError(f"reuse: the item encoder {self.encoder!r} was not bound yet.")
        return self._target

    def collate(self, values: Sequence[Any]) -> Features:
        """Collate as the item encoder does for queries, where it tells them from items."""
        collate: Callable[[Sequence[Any]], Features] = getattr(
            self.target, "collate_query", self.target.collate
        )
        return collate(values)

    def precompute(self, features: Features) -> Features:
        """Precompute as the item encoder does."""
        return self.target.precompute(features)

    def forward(self, features: Features) -> Encoded:
        """Encode as the item encoder does."""
        run: Callable[[Features], Encoded] = (
            self.target if callable(self.target) else self.target.forward
        )
        return run(features)

    __call__ = forward
