"""Text models on disk: settings, tokeniser and network, each loaded when first needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankloom.errors import ConfigError
from rankloom.nn.pooling import Pooling, pool
from rankloom.nn.precision import Precision, autocast
from rankloom.nn.pretrained import loading
from rankloom.nn.weights import read_json, resolve_weights, weights_digest

__all__ = [
    "TextModel",
    "TextSettings",
    "as_text",
    "encode_tokens",
    "length_batches",
    "runner",
    "text_settings",
]

#: What a directory holds beside settings and weights.
_BESIDE = "a tokenizer"

#: Longer texts than so many characters a kept token are cut before they are tokenised.
MAX_CHARS_PER_TOKEN = 64

#: Ids and mask ``[n, t]`` to token vectors ``[n, t, d]``.
Run = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TextSettings:
    """How texts become vectors.

    Attributes:
        max_length: Tokens kept of each text, special ones included.
        pooling: Tokens to one vector.
        normalize: Scale vectors to length 1.
        windows: Windows of ``max_length`` tokens that a long text is read in; 1: it is cut.
    """

    max_length: int
    pooling: Pooling
    normalize: bool
    windows: int = 1


def as_text(value: Any) -> str | None:
    """Return a field's value as text; None where it is missing or blank.

    Lists are joined by ``", "``; what UTF-8 cannot hold (half a surrogate pair) becomes ``?``.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list | tuple):
        value = ", ".join(str(part) for part in value if part is not None)
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return text if text.strip() else None


def length_batches(lengths: Tensor, batch_size: int) -> Sequence[Tensor]:
    """Split rows into batches of like length, longest first: little padding, early memory peak.

    Args:
        lengths: ``[n]``.
        batch_size: Rows of a batch.

    Returns:
        Row indices of each batch.
    """
    order = torch.argsort(lengths, descending=True, stable=True)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def text_settings(
    folder: Path,
    config: dict[str, Any],
    max_length: int,
    pooling: Pooling | None,
    normalize: bool | None,
    windows: int = 1,
) -> TextSettings:
    """Fill in what is None from the files of a sentence-transformers directory.

    Args:
        folder: The model's directory.
        config: Its ``config.json``.
        max_length: Wanted; at most what the model can take.
        pooling: None: what the directory says, else the mean.
        normalize: None: what the directory says, else False.
        windows: Windows that a long text is read in.

    Raises:
        ConfigError: The directory asks for a pooling that is not known here.
    """
    positions = config.get("max_position_embeddings", config.get("n_positions", max_length))
    limits = [max_length, int(positions)]
    extra = folder / "sentence_bert_config.json"
    if extra.is_file() and (limit := read_json(extra).get("max_seq_length")):
        limits.append(int(limit))
    modules = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    if pooling is None:
        pooling = _stated_pooling(folder, modules)
    if normalize is None:
        normalize = any(_kind(module) == "Normalize" for module in modules)
    return TextSettings(min(limits), pooling, normalize, windows)


def _kind(module: dict[str, Any]) -> str:
    return str(module.get("type", "")).rpartition(".")[2]


def _stated_pooling(folder: Path, modules: list[dict[str, Any]]) -> Pooling:
    paths = [module["path"] for module in modules if _kind(module) == "Pooling"]
    if not paths or not (folder / paths[0] / "config.json").is_file():
        return "mean"
    stated = read_json(folder / paths[0] / "config.json")
    keys: dict[str, Pooling] = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
    }
    chosen = [key for key, on in stated.items() if key.startswith("pooling_mode_") and on is True]
    if len(chosen) == 1 and chosen[0] in keys:
        return keys[chosen[0]]
    raise ConfigError(
        f"The model in {folder} asks for pooling {chosen}, which is not one of "
        f"{', '.join(get_args(Pooling))}. Set 'pooling' to one of these, or use another model."
    )


class TextModel:
    """A BERT-like model: ``config.json`` is read at once, tokeniser and weights when first used.

    The network is deliberately no registered submodule of anybody: it is frozen, so it belongs
    neither to an optimiser nor in a bundle. It follows the device of its input.

    Args:
        model: See :func:`rankloom.nn.weights.resolve_weights`.
        base_dir: Where relative directories start.
        sha256: Expected digest of the weights.

    Raises:
        ConfigError: The model cannot be found or is no text encoder.
    """

    def __init__(self, model: str, base_dir: Path, sha256: str | None = None) -> None:
        self.name = model
        self._base_dir = base_dir
        self._sha256 = sha256
        self.settings_dir = resolve_weights(model, base_dir, config_only=True)
        self.config: dict[str, Any] = read_json(self.settings_dir / "config.json")
        widths = [self.config.get(key) for key in ("hidden_size", "n_embd")]
        self.hidden_size = next((width for width in widths if isinstance(width, int)), 0)
        if not self.hidden_size:
            raise ConfigError(
                f"model: {model!r} has model_type {self.config.get('model_type')!r} without "
                "hidden_size or n_embd; a model of BERT's or GPT-2's architecture is needed."
            )

    @cached_property
    def folder(self) -> Path:
        """The directory with the weights, their digest checked."""
        return resolve_weights(self.name, self._base_dir, self._sha256)

    def digest(self) -> str:
        """Return the sha256 of the weights."""
        return weights_digest(self.folder)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokeniser, padding on the right."""
        from transformers import AutoTokenizer

        with loading(self.name, _BESIDE):
            tokenizer = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:  # GPT-2 has none; what stands there is masked
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return tokenizer

    @cached_property
    def network(self) -> nn.Module:
        """The network in evaluation mode, float32, without gradients."""
        return self.load_network().eval().requires_grad_(False)

    def load_network(self) -> nn.Module:
        """Return a network of one's own, float32, whose weights may be trained.

        Raises:
            ConfigError: It cannot be loaded, or the weights are another architecture's.
        """
        from transformers import AutoModel

        with loading(self.name, _BESIDE):
            loaded = AutoModel.from_pretrained(
                self.folder, trust_remote_code=False, output_loading_info=True
            )
        network: nn.Module = loaded[0]
        # A pooler is often absent and never used here; any other gap means random weights.
        missing = sorted(key for key in loaded[1]["missing_keys"] if "pooler" not in key)
        if missing:
            raise ConfigError(
                f"model: the weights of {self.name!r} lack {len(missing)} tensors of the network "
                f"(first: {missing[0]}). They belong to another architecture than config.json says."
            )
        return network.float()

    def tokenize(
        self, texts: Sequence[str], max_length: int, windows: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Tokenise; far longer texts than can be kept are cut before.

        Returns:
            Ids and mask, both ``[n, t]`` int64 padded to the longest text; ``[n, w, t]`` where
            there are several windows, those without a text all zero.
        """
        most = MAX_CHARS_PER_TOKEN * max_length * windows
        out = self.tokenizer(
            [text[:most] for text in texts],
            padding=True,
            truncation=True,
            max_length=max_length,
            return_token_type_ids=False,
            return_overflowing_tokens=windows > 1,
            return_tensors="pt",
        )
        if windows == 1:
            return out["input_ids"], out["attention_mask"]
        return _windowed(out, len(texts), windows)

    def vectors(
        self,
        ids: Tensor,
        mask: Tensor,
        settings: TextSettings,
        batch_size: int,
        *,
        run: Run | None = None,
        precision: Precision = "float32",
        keep: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Encode tokenised texts in batches of like length, without gradients.

        Args:
            ids: ``[n, t]`` or ``[n, w, t]`` int64.
            mask: Of the same shape, 1 at real tokens, which stand on the left.
            settings: Pooling and normalisation.
            batch_size: Texts of a batch.
            run: Stands in for the network (compressed ones do).
            precision: What the network computes in.
            keep: How many tokens' states are wanted too.

        Returns:
            Vectors ``[n, hidden_size]`` and states ``[n, keep, hidden_size]``, float32 on the
            device of ``ids``; zero for a row without tokens.
        """
        if run is None:
            network = self.network.to(ids.device)
            run = runner(network)
        # The result is made outside inference mode: its tensors may not be saved for a backward
        # pass.
        n, width = ids.shape[0], self.hidden_size
        vectors = torch.zeros(n, width, device=ids.device)
        states = torch.zeros(n, keep, width, device=ids.device)
        with torch.inference_mode(), autocast(precision, ids.device):
            found = encode_tokens(run, ids, mask, settings, batch_size, width, keep)
        return vectors.copy_(found[0]), states.copy_(found[1])


def runner(network: nn.Module) -> Run:
    """Return the token vectors of a network as a plain function of ids and mask."""

    def run(ids: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = network(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    return run


def encode_tokens(
    run: Run,
    ids: Tensor,
    mask: Tensor,
    settings: TextSettings,
    batch_size: int,
    width: int,
    keep: int = 0,
) -> tuple[Tensor, Tensor]:
    """Encode tokenised texts in batches of like length; gradients flow where they are on.

    Args:
        run: Ids and mask ``[m, t]`` to token vectors ``[m, t, width]``.
        ids: ``[n, t]`` or ``[n, w, t]`` int64; of several windows the mean is taken.
        mask: Of the same shape, 1 at real tokens, which stand on the left.
        settings: Pooling and normalisation.
        batch_size: Texts of a batch.
        width: Width of token vectors.
        keep: The states of so many tokens are returned too, of the first window's alone.

    Returns:
        Vectors ``[n, width]`` and states ``[n, keep, width]``, float32; zero where there is no
        token.
    """
    if ids.dim() == 3:
        flat = TextSettings(settings.max_length, settings.pooling, False)
        parts = encode_tokens(
            run, ids.flatten(0, 1), mask.flatten(0, 1), flat, batch_size, width, keep
        )
        there = mask.any(2)
        rows = parts[0].view(*there.shape, width)
        whole = rows.sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        first = parts[1].view(*there.shape, keep, width)[:, 0]
        return (F.normalize(whole, dim=1) if settings.normalize else whole), first
    lengths = mask.sum(1)
    there = torch.nonzero(lengths > 0)[:, 0]
    n = ids.shape[0]
    out = torch.zeros(n, width, device=ids.device)
    out_states = torch.zeros(n, keep, width, device=ids.device)
    if not len(there):
        return out, out_states
    pooled, states, order = [], [], []
    for batch in length_batches(lengths[there], batch_size):
        rows = there[batch]
        longest = int(lengths[rows[0]])
        kept = mask[rows, :longest]
        found = run(ids[rows, :longest], kept).float()
        vectors = pool(found, kept, settings.pooling)
        pooled.append(F.normalize(vectors, dim=1) if settings.normalize else vectors)
        if keep:
            real = (found * kept[:, :, None])[:, :keep]
            states.append(F.pad(real, (0, 0, 0, keep - real.shape[1])))
        order.append(rows)
    at = torch.cat(order)
    if keep:
        out_states = out_states.index_copy(0, at, torch.cat(states))
    return out.index_copy(0, at, torch.cat(pooled)), out_states


def _windowed(out: Any, n: int, windows: int) -> tuple[Tensor, Tensor]:
    """Arrange a tokeniser's overflow as ``[n, w, t]``."""
    owners: list[int] = list(out["overflow_to_sample_mapping"])
    ids, mask = out["input_ids"], out["attention_mask"]
    place: list[int] = []
    for row, owner in enumerate(owners):
        again = row > 0 and owners[row - 1] == owner
        place.append(place[-1] + 1 if again else 0)
    kept = [row for row, number in enumerate(place) if number < windows]
    most = max((place[row] for row in kept), default=0) + 1
    shape = (n, most, ids.shape[1])
    at = torch.tensor([owners[row] for row in kept]), torch.tensor([place[row] for row in kept])
    all_ids, all_mask = ids.new_zeros(shape), mask.new_zeros(shape)
    all_ids[at], all_mask[at] = ids[kept], mask[kept]
    return all_ids, all_mask
