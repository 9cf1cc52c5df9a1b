"""The base of frozen encoders of pictures and sounds."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from rankloom.components import MediaEncoderConfig
from rankloom.nn.media import MediaReader, Unreadable
from rankloom.nn.precision import autocast, resolve_precision
from rankloom.nn.seeds import seeded
from rankloom.protocols import Build, Encoded, Features

__all__ = ["MediaEncoder"]


class MediaEncoder(nn.Module, ABC):
    """Reads, bounds, batches, caches and maps; a subclass decodes one value and runs a network.

    The network is loaded when the first value has to be encoded, so that a run whose values are all
    cached never pays for it. It is no part of the module's state: a bundle refers to the weights.

    Args:
        config: Settings.
        build: ``base_dir`` is where ``root`` starts.
        width: Width of what ``vectors`` yields.

    Attributes:
        block_size: Values that are decoded together.
    """

    block_size = 64

    def __init__(self, config: MediaEncoderConfig, build: Build, width: int) -> None:
        super().__init__()
        self.config = config
        self.on_bad_item = config.on_bad_item
        self.reader = MediaReader(build.base_dir / config.root, config.max_bytes)
        self.precision = resolve_precision(config.precision)
        self.width = width
        self.dim = config.dim or width
        self.project: nn.Module = nn.Identity()
        if config.dim is not None:
            name = build.field.name if build.field is not None else config.type
            linear = nn.Linear(width, config.dim)
            nn.init.xavier_uniform_(linear.weight, generator=seeded(build.seed, config.type, name))
            nn.init.zeros_(linear.bias)
            self.project = linear

    # -- what a subclass gives --------------------------------------------------------------------

    @abstractmethod
    def decode(self, data: bytes) -> Mapping[str, Tensor]:
        """Turn the bytes of one file into tensors, the same names for every value.

        Shapes may differ between values in the first dimension alone, which is padded with zeros.

        Raises:
            Unreadable: They are no such file, or too large.
        """

    @abstractmethod
    def load_network(self) -> nn.Module | None:
        """Return the frozen network, or None where there is none."""

    @abstractmethod
    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Encode ``[n, ...]`` tensors into ``[n, width]``, each row by itself."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return what vectors depend on, as plain JSON: digests of weights, sizes, versions."""

    def cost(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return ``[n]`` lengths to batch like with like; None where all are of one size."""
        return None

    # -- the contract -----------------------------------------------------------------------------

    @cached_property
    def _network(self) -> Any:
        # Networks draw random weights before they get their own; whether values are cached must not
        # change what is drawn afterwards.
        with torch.random.fork_rng(devices=[]):
            network = self.load_network()
        if network is not None:
            network.eval().requires_grad_(False)
        return network

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network out: whoever gets a copy loads it when it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "_network"}

    def load(self) -> None:
        """Find the weights.

        Raises:
            ConfigError: They are missing, or not those that the config names.
        """
        self.settings()

    def fingerprint(self) -> str:
        """Return what vectors depend on: the class, its settings, and the precision."""
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        said = {"kind": kind, "precision": self.precision, **self.settings()}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def content(self, value: Any) -> bytes:
        """Return the digest of a value's bytes: a file that was replaced is encoded again."""
        return self.reader.digest(value)

    def collate(self, values: Sequence[Any]) -> Features:
        """Decode; what cannot be read is missing, with the reason under ``problems``.

        Returns:
            The tensors of ``decode``, stacked; zero where missing.
        """
        problems: dict[int, str] = {}
        decoded: dict[int, Mapping[str, Tensor]] = {}
        for row, value in enumerate(values):
            if not self.reader.given(value):
                continue
            try:
                decoded[row] = self.decode(self.reader.read(value))
            except Unreadable as error:
                problems[row] = str(error)
        present = torch.zeros(len(values), dtype=torch.bool)
        present[list(decoded)] = True
        if not decoded:
            return Features({"nothing": torch.zeros(len(values), 1)}, present, problems)
        names = next(iter(decoded.values()))
        tensors = {name: _stack(decoded, name, len(values)) for name in names}
        return Features(tensors, present, problems)

    def precompute(self, features: Features) -> Features:
        """Run the frozen network: ``vector [n, width]`` float32, zero where missing."""
        rows = torch.nonzero(features.present)[:, 0]
        device = features.present.device
        # Made outside inference mode: its own tensors may not be saved for a backward pass.
        out = torch.zeros(len(features), self.width, device=device)
        if len(rows):
            network = self._network
            if network is not None:
                network.to(device)
            lengths = self.cost(features.tensors)
            if lengths is not None:
                rows = rows[torch.argsort(lengths[rows], descending=True, stable=True)]
            with torch.inference_mode(), autocast(self.precision, device):
                for part in torch.split(rows, self.config.batch_size):
                    picked = {name: tensor[part] for name, tensor in features.tensors.items()}
                    out[part] = self.vectors(network, picked).float()
        return Features({"vector": out}, features.present, features.problems)

    def forward(self, features: Features) -> Encoded:
        """Return the (mapped) vectors ``[n, dim]``."""
        return Encoded(self.project(features["vector"]))


def _stack(decoded: Mapping[int, Mapping[str, Tensor]], name: str, n: int) -> Tensor:
    parts = {row: tensors[name] for row, tensors in decoded.items()}
    example = next(iter(parts.values()))
    longest = max(tensor.shape[0] for tensor in parts.values()) if example.dim() else 0
    shape = (longest, *example.shape[1:]) if example.dim() else ()
    out = example.new_zeros((n, *shape))
    for row, tensor in parts.items():
        if example.dim():
            out[row, : tensor.shape[0]] = tensor
        else:
            out[row] = tensor
    return out
