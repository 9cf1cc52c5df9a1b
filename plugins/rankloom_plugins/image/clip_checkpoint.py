"""A CLIP model on disk: its settings at once; tokeniser, processor and towers when first used."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from torch import nn

from rankloom.errors import ConfigError
from rankloom.nn.pretrained import loading
from rankloom.nn.weights import read_json, resolve_weights, weights_digest

__all__ = ["ClipCheckpoint", "Side"]

#: What a directory holds beside settings and weights.
_BESIDE = "the settings of the image processor or the tokenizer"

Side = Literal["vision", "text"]

#: Where processors and tokenisers keep their settings.
_FILES: dict[Side, tuple[str, ...]] = {
    "vision": ("config.json", "processor_config.json", "preprocessor_config.json"),
    "text": ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
}


class ClipCheckpoint:
    """One tower of a model of CLIP's architecture (Radford et al., 2021) with its projection.

    Args:
        model: See :func:`rankloom.nn.weights.resolve_weights`.
        base_dir: Where relative directories start.
        sha256: Expected digest of the weights.
        side: The tower; the other one is never loaded.

    Raises:
        ConfigError: The model cannot be found, or has no such tower.
    """

    def __init__(self, model: str, base_dir: Path, sha256: str | None, side: Side) -> None:
        self.name = model
        self.side: Side = side
        self._base_dir = base_dir
        self._sha256 = sha256
        folder = resolve_weights(model, base_dir, config_only=True)
        self.config: dict[str, Any] = read_json(folder / "config.json")
        kind = self.config.get("model_type")
        if kind not in ("clip", f"clip_{side}_model"):
            raise ConfigError(
                f"model: {model!r} has model_type {kind!r}, but a model of CLIP's architecture is "
                f"needed here ('clip', or 'clip_{side}_model', its {side} tower alone)."
            )

    @property
    def dim(self) -> int:
        """Width of the common space of pictures and texts."""
        return int(self.config.get("projection_dim", 512))

    def tower(self, key: str, default: int) -> int:
        """Return a number of the tower's settings."""
        settings = self.config.get(f"{self.side}_config") or self.config
        return int(settings.get(key, default))

    @cached_property
    def folder(self) -> Path:
        """The directory with the weights, their digest checked."""
        return resolve_weights(self.name, self._base_dir, self._sha256)

    def settings(self) -> dict[str, str]:
        """Return the digests of what vectors depend on."""
        digest = hashlib.sha256()
        for name in _FILES[self.side]:
            path = self.folder / name
            digest.update(name.encode() + (path.read_bytes() if path.is_file() else b""))
        return {"weights": weights_digest(self.folder), "files": digest.hexdigest()}

    @cached_property
    def processor(self) -> Any:
        """The image processor: how pictures are scaled, cropped and normalised."""
        import transformers

        factory: Any = transformers.AutoImageProcessor
        with loading(self.name, _BESIDE):
            return factory.from_pretrained(self.folder, trust_remote_code=False)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokeniser, padding on the right."""
        from transformers import AutoTokenizer

        with loading(self.name, _BESIDE):
            tokenizer = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        tokenizer.padding_side = "right"
        return tokenizer

    def network(self) -> nn.Module:
        """Load the tower with its projection, float32.

        Raises:
            ConfigError: The weights lack some of it, or belong to another architecture.
        """
        import transformers as t

        kind: Any = (
            t.CLIPVisionModelWithProjection
            if self.side == "vision"
            else t.CLIPTextModelWithProjection
        )
        with loading(self.name, _BESIDE):
            config = t.AutoConfig.from_pretrained(self.folder, trust_remote_code=False)
            # A whole model says how wide the common space is beside its towers' settings.
            width, config = config.projection_dim, getattr(config, f"{self.side}_config", config)
            config.projection_dim = width
            network, found = kind.from_pretrained(
                self.folder, config=config, output_loading_info=True
            )
        missing = sorted(found["missing_keys"])
        if missing:
            raise ConfigError(
                f"model: the weights of {self.name!r} lack {len(missing)} tensors of CLIP's "
                f"{self.side} tower (first: {missing[0]}). They belong to another architecture "
                "than config.json says, or to a tower without its projection."
            )
        loaded: nn.Module = network.float()
        return loaded
