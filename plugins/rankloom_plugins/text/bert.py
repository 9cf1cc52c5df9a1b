"""BERT (Devlin et al., 2019) and its descendants as frozen text encoders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from rankloom.nn.seeds import seeded
from rankloom.nn.text import TextModel, as_text, text_settings
from rankloom.protocols import Build, Encoded, Features
from rankloom_plugins.text.plugin import BertConfig

__all__ = ["BertEncoder"]

_TOKENIZER_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


class BertEncoder(nn.Module):
    """Frozen text model, pooled; the network runs in ``precompute`` alone.

    The network is loaded when the first text has to be encoded, so that a run whose texts are all
    cached never pays for it. It is not part of the module's state: a bundle refers to the weights
    by ``model`` and their digest.

    Args:
        config: Settings.
        build: ``base_dir`` is where a relative ``model`` directory starts.

    Raises:
        ConfigError: The model cannot be found, or is no text encoder.
    """

    def __init__(self, config: BertConfig, build: Build) -> None:
        super().__init__()
        self.batch_size = config.batch_size
        self.text = TextModel(config.model, build.base_dir, config.sha256)
        self.settings = text_settings(
            self.text.settings_dir,
            self.text.config,
            config.max_length,
            config.pooling,
            config.normalize,
        )
        self.dim = config.dim or self.text.hidden_size
        self.project: nn.Module = nn.Identity()
        if config.dim is not None:
            linear = nn.Linear(self.text.hidden_size, config.dim)
            name = build.field.name if build.field is not None else "bert"
            nn.init.xavier_uniform_(linear.weight, generator=seeded(build.seed, "bert", name))
            nn.init.zeros_(linear.bias)
            self.project = linear

    def load(self) -> None:
        """Find the weights and check their digest.

        Raises:
            ConfigError: They are missing, or not those that ``sha256`` names.
        """
        self.text.digest()

    def fingerprint(self) -> str:
        """Return what vectors depend on: weights, tokeniser and settings."""
        digest = hashlib.sha256(b"rankloom text 1")
        digest.update(self.text.digest().encode())
        digest.update(json.dumps(asdict(self.settings), sort_keys=True).encode())
        for name in _TOKENIZER_FILES:
            path = self.text.folder / name
            digest.update(name.encode() + (path.read_bytes() if path.is_file() else b""))
        return digest.hexdigest()

    def collate(self, values: Sequence[Any]) -> Features:
        """Tokenise; None and blank texts are missing.

        Returns:
            ``input_ids`` and ``attention_mask``, both ``[n, t]`` int64 padded to the longest text;
            all zero where the text is missing.
        """
        texts = [as_text(value) for value in values]
        present = torch.tensor([text is not None for text in texts], dtype=torch.bool)
        kept = [text for text in texts if text is not None]
        width = 1
        if kept:
            kept_ids, kept_mask = self.text.tokenize(kept, self.settings.max_length)
            width = kept_ids.shape[1]
        ids = torch.zeros(len(texts), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        if kept:
            ids[present], mask[present] = kept_ids, kept_mask
        return Features({"input_ids": ids, "attention_mask": mask}, present)

    def precompute(self, features: Features) -> Features:
        """Run the frozen network: ``vector [n, hidden_size]``, zero where missing."""
        vectors = self.text.vectors(
            features["input_ids"], features["attention_mask"], self.settings, self.batch_size
        )
        return Features({"vector": vectors}, features.present)

    def forward(self, features: Features) -> Encoded:
        """Return the (mapped) vectors ``[n, dim]``."""
        return Encoded(self.project(features["vector"]))
