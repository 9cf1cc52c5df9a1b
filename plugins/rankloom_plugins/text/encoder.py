"""Language models as encoders of text: what BERT's and GPT-2's descendants share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.errors import BundleError
from rankloom.nn.pooling import Pooling
from rankloom.nn.precision import resolve_precision
from rankloom.nn.seeds import seeded
from rankloom.nn.text import Run, TextModel, as_text, encode_tokens, runner, text_settings
from rankloom.protocols import Build, Encoded, Features, State
from rankloom_plugins.text.compression import Reduction, int8_run
from rankloom_plugins.text.plugin import TextModelConfig
from rankloom_plugins.text.tuning import prepare_for_tuning

__all__ = ["TextEncoder"]

_TOKENIZER_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


class TextEncoder(nn.Module):
    """A text model, pooled.

    Frozen, the network runs in ``precompute`` alone; it is loaded when the first text has to be
    encoded, so that a run whose texts are all cached never pays for it, and is not part of the
    module's state: a bundle refers to the weights by ``model`` and their digest. Tuned, it is part
    of the module, runs in ``forward``, and a bundle holds the weights that trained.

    Args:
        config: Settings.
        build: ``base_dir`` is where a relative ``model`` directory starts.
        pooling: Tokens to one vector; None: as the model's directory says.

    Attributes:
        expensive: It trains, so that core must not run it over the whole catalog at every step.

    Raises:
        ConfigError: The model cannot be found, or is no text encoder.
    """

    fingerprint: Callable[[], str] | None

    def __init__(self, config: TextModelConfig, build: Build, pooling: Pooling | None) -> None:
        super().__init__()
        self.config = config
        self.cache_dir = build.cache_dir
        self.text = TextModel(config.model, build.base_dir, config.sha256)
        self.settings = text_settings(
            self.text.settings_dir,
            self.text.config,
            config.max_length,
            pooling,
            config.normalize,
            config.max_windows if config.long_text == "windows" else 1,
        )
        self.precision = resolve_precision(config.precision)
        self.expensive = config.tuning != "frozen"
        self.fingerprint = None if self.expensive else self._fingerprint
        self.network: nn.Module | None = None
        self._int8: Run | None = None
        width = self.text.hidden_size
        self.reduce: Reduction | None = None
        if config.compress is not None and config.compress.dim is not None:
            self.reduce = Reduction(width, config.compress.dim, config.compress.method)
            width = config.compress.dim
        self.dim = config.dim or width
        self.project: nn.Module = nn.Identity()
        if config.dim is not None:
            linear = nn.Linear(width, config.dim)
            name = build.field.name if build.field is not None else config.type
            nn.init.xavier_uniform_(linear.weight, generator=seeded(build.seed, config.type, name))
            nn.init.zeros_(linear.bias)
            self.project = linear

    def load(self) -> None:
        """Find the weights and check their digest; what trains is loaded too.

        Raises:
            ConfigError: They are missing, or not those that ``sha256`` names.
            MissingExtraError: LoRA without peft.
        """
        self.text.digest()
        if self.expensive and self.network is None:
            self.network = prepare_for_tuning(self.text.load_network(), self.config)

    def _fingerprint(self) -> str:
        """Return what vectors depend on: weights, tokeniser and settings."""
        digest = hashlib.sha256(b"rankloom text 2")
        digest.update(self.text.digest().encode())
        compressed = self.config.compress is not None and self.config.compress.weights
        said = {**asdict(self.settings), "precision": self.precision, "weights": compressed}
        if self.config.tokens:
            said["tokens"] = self.config.tokens
        digest.update(json.dumps(said, sort_keys=True).encode())
        for name in _TOKENIZER_FILES:
            path = self.text.folder / name
            digest.update(name.encode() + (path.read_bytes() if path.is_file() else b""))
        return digest.hexdigest()

    def fit_features(self, features: Features) -> None:
        """Learn the main axes of the training items' vectors, where ``compress`` asks for them."""
        if self.reduce is not None and not self.expensive:
            self.reduce.learn(features["vector"][features.present])

    def export_state(self) -> State:
        """Return the digest of the weights that were read; trained ones are in ``state_dict``."""
        return State(meta={"weights": self.text.digest()})

    def import_state(self, state: State) -> None:
        """Check that the weights are those of the fit.

        Raises:
            BundleError: They are others.
        """
        if state.meta["weights"] != self.text.digest():
            raise BundleError(
                f"The bundle was fitted with other weights of {self.config.model!r} (sha256 "
                f"{state.meta['weights']}, now {self.text.digest()}). Put those back, or fit again."
            )

    def collate(self, values: Sequence[Any]) -> Features:
        """Tokenise; None and blank texts are missing.

        Returns:
            ``input_ids`` and ``attention_mask``, both ``[n, t]`` int64 (``[n, w, t]`` in windows)
            padded to the longest text; all zero where the text is missing.
        """
        texts = [as_text(value) for value in values]
        present = torch.tensor([text is not None for text in texts], dtype=torch.bool)
        kept = [text for text in texts if text is not None]
        windows = self.settings.windows
        if not kept:
            none = torch.zeros((len(texts), *((1,) * (windows > 1)), 1), dtype=torch.long)
            return Features({"input_ids": none, "attention_mask": none.clone()}, present)
        kept_ids, kept_mask = self.text.tokenize(kept, self.settings.max_length, windows)
        ids = torch.zeros((len(texts), *kept_ids.shape[1:]), dtype=torch.long)
        mask = torch.zeros_like(ids)
        ids[present], mask[present] = kept_ids, kept_mask
        return Features({"input_ids": ids, "attention_mask": mask}, present)

    def precompute(self, features: Features) -> Features:
        """Run the frozen network: ``vector [n, hidden_size]``, zero where missing.

        With ``tokens``, the tokens' states stand behind it, and then which of them are there: the
        cache keeps one vector a value. What trains is left to ``forward``: the input.
        """
        if self.expensive:
            return features
        vectors, states = self.text.vectors(
            features["input_ids"],
            features["attention_mask"],
            self.settings,
            self.config.batch_size,
            run=self._compressed(),
            precision=self.precision,
            keep=self.config.tokens,
        )
        if self.config.tokens:
            real = self._real(features).to(vectors.dtype)
            vectors = torch.cat([vectors, states.flatten(1), real], dim=1)
        return Features({"vector": vectors}, features.present)

    def _real(self, features: Features) -> Tensor:
        """``[n, tokens]`` bool: which of the kept tokens are there, of the first window."""
        mask = features["attention_mask"]
        mask = (mask[:, 0] if mask.dim() == 3 else mask)[:, : self.config.tokens]
        return F.pad(mask, (0, self.config.tokens - mask.shape[1])).bool()

    def _compressed(self) -> Run | None:
        wanted = self.config.compress
        if wanted is None or wanted.weights is None:
            return None
        if self._int8 is None:
            self._int8 = int8_run(self.text, self.cache_dir / "onnx")
        return self._int8

    def forward(self, features: Features) -> Encoded:
        """Return the (mapped) vectors ``[n, dim]``, with ``tokens [n, t, dim]`` if any are kept."""
        keep = self.config.tokens
        if not self.expensive:
            width = self.text.hidden_size
            parts = torch.split(features["vector"], [width, keep * width, keep], dim=1)
            vectors, behind, there = parts
            states, real = behind.reshape(len(features), keep, width), there > 0
        else:
            if self.network is None:
                self.load()
            assert self.network is not None
            vectors, states = encode_tokens(
                runner(self.network),
                features["input_ids"],
                features["attention_mask"],
                self.settings,
                self.config.batch_size,
                self.text.hidden_size,
                keep,
            )
            real = self._real(features)
        if self.reduce is not None:
            vectors = self.reduce(vectors)
        if not keep:
            return Encoded(self.project(vectors))
        return Encoded(self.project(vectors), self.project(states), real)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the session of ONNX Runtime out: a copy makes its own."""
        return {**self.__dict__, "_int8": None}
