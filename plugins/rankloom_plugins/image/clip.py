"""CLIP (Radford et al., 2021): pictures and texts in one space, both frozen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.errors import ConfigError
from rankloom.nn.images import ImageEncoder
from rankloom.nn.precision import autocast, resolve_precision
from rankloom.nn.seeds import seeded
from rankloom.nn.text import as_text, length_batches
from rankloom.protocols import Build, Encoded, Features
from rankloom_plugins.image.clip_checkpoint import ClipCheckpoint
from rankloom_plugins.image.plugin import ClipImageConfig, ClipTextConfig

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ClipImageEncoder", "ClipTextEncoder"]


class ClipImageEncoder(ImageEncoder):
    """Projected image embeddings; pictures are prepared as the model's own processor says.

    Args:
        config: Settings.
        build: ``base_dir`` is where a relative ``model`` directory and ``root`` start.

    Raises:
        ConfigError: The model cannot be found, or has no vision tower of CLIP's.
    """

    config: ClipImageConfig

    def __init__(self, config: ClipImageConfig, build: Build) -> None:
        self.clip = ClipCheckpoint(config.model, build.base_dir, config.sha256, "vision")
        super().__init__(config, build, self.clip.dim)

    def settings(self) -> Mapping[str, Any]:
        """Return the digests of weights and processor settings, and ``normalize``."""
        return {**self.clip.settings(), "normalize": self.config.normalize}

    def load_network(self) -> nn.Module:
        """Load the vision tower."""
        return self.clip.network()

    def transform(self, image: Image.Image) -> Tensor:
        """Scale, crop and normalise.

        Raises:
            ConfigError: The processor's size is not the network's.
        """
        pixels: Tensor = self.clip.processor(images=image, return_tensors="pt")["pixel_values"][0]
        side = self.clip.tower("image_size", 224)
        if tuple(pixels.shape) != (3, side, side):
            raise ConfigError(
                f"model: the image processor of {self.config.model!r} yields {list(pixels.shape)}, "
                f"but its network takes [3, {side}, {side}]. Correct 'size' and 'crop_size' in its "
                "preprocessor_config.json, with do_center_crop: true."
            )
        return pixels

    def vectors(self, network: Any, tensors: Mapping[str, Tensor]) -> Tensor:
        """Run the tower: ``[n, projection_dim]``."""
        vectors: Tensor = network(pixel_values=tensors["pixels"]).image_embeds.float()
        return F.normalize(vectors, dim=1) if self.config.normalize else vectors


class ClipTextEncoder(nn.Module):
    """Projected text embeddings; the network runs in ``precompute`` alone.

    Args:
        config: Settings.
        build: ``base_dir`` is where a relative ``model`` directory starts.

    Raises:
        ConfigError: The model cannot be found, or has no text tower of CLIP's.
    """

    def __init__(self, config: ClipTextConfig, build: Build) -> None:
        super().__init__()
        self.config = config
        self.clip = ClipCheckpoint(config.model, build.base_dir, config.sha256, "text")
        limit = self.clip.tower("max_position_embeddings", 77)
        self.max_length = min(config.max_length, limit)
        self.precision = resolve_precision(config.precision)
        self.width = self.clip.dim
        self.dim = config.dim or self.width
        self.project: nn.Module = nn.Identity()
        if config.dim is not None:
            linear = nn.Linear(self.width, config.dim)
            name = build.field.name if build.field is not None else config.type
            nn.init.xavier_uniform_(linear.weight, generator=seeded(build.seed, config.type, name))
            nn.init.zeros_(linear.bias)
            self.project = linear

    @cached_property
    def _network(self) -> Any:
        with torch.random.fork_rng(devices=[]):  # loading must not change what is drawn later
            return self.clip.network().eval().requires_grad_(False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network out: whoever gets a copy loads it when it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "_network"}

    def load(self) -> None:
        """Find the weights and check their digest.

        Raises:
            ConfigError: They are missing, or not those that ``sha256`` names.
        """
        self.clip.settings()

    def fingerprint(self) -> str:
        """Return what vectors depend on: weights, tokeniser and settings."""
        said = {"kind": "clip_text 1", "length": self.max_length, "precision": self.precision}
        said |= {"normalize": self.config.normalize, **self.clip.settings()}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def collate(self, values: Sequence[Any]) -> Features:
        """Tokenise; None and blank texts are missing.

        Returns:
            ``input_ids`` and ``attention_mask``, both ``[n, t]`` int64 padded to the longest text;
            all zero where the text is missing.
        """
        texts = [as_text(value) for value in values]
        present = torch.tensor([text is not None for text in texts], dtype=torch.bool)
        kept = [text for text in texts if text is not None]
        if not kept:
            none = torch.zeros(len(texts), 1, dtype=torch.long)
            return Features({"input_ids": none, "attention_mask": none.clone()}, present)
        found = self.clip.tokenizer(
            kept, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        tensors = {}
        for name in ("input_ids", "attention_mask"):
            tensors[name] = torch.zeros(len(texts), found[name].shape[1], dtype=torch.long)
            tensors[name][present] = found[name]
        return Features(tensors, present)

    def precompute(self, features: Features) -> Features:
        """Run the frozen network: ``vector [n, projection_dim]``, zero where missing."""
        ids, mask = features["input_ids"], features["attention_mask"]
        # Made outside inference mode: its own tensors may not be saved for a backward pass.
        out = torch.zeros(len(features), self.width, device=ids.device)
        rows = torch.nonzero(features.present)[:, 0]
        lengths = mask.sum(1)
        if len(rows):
            network = self._network.to(ids.device)
            with torch.inference_mode(), autocast(self.precision, ids.device):
                for batch in length_batches(lengths[rows], self.config.batch_size):
                    at = rows[batch]
                    width = int(lengths[at[0]])
                    found = network(input_ids=ids[at, :width], attention_mask=mask[at, :width])
                    out[at] = found.text_embeds.float()
        if self.config.normalize:
            out = F.normalize(out, dim=1)
        return Features({"vector": out}, features.present)

    def forward(self, features: Features) -> Encoded:
        """Return the (mapped) vectors ``[n, dim]``."""
        return Encoded(self.project(features["vector"]))
