"""Networks with the heads that objectives need: loaded, made from nothing, merged and saved."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from rankloom.errors import ConfigError
from rankloom.nn.pretrained import loading
from rankloom.nn.text import TextModel
from rankloom_plugins.text.plugin import Lora
from rankloom_plugins.text.pretraining.plugin import PretrainConfig
from rankloom_plugins.text.tuning import add_lora

__all__ = ["fresh_gpt2", "load_with_head", "merged", "save", "train_tokenizer", "with_lora"]

_END = "<|endoftext|>"
#: How a sentence-transformers directory says to pool; kept beside the new weights.
_BESIDE = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")


def load_with_head(model: TextModel, objective: str) -> tuple[nn.Module, list[str]]:
    """Load a network for language modelling.

    Args:
        model: Whose directory.
        objective: ``mlm`` or ``clm``.

    Returns:
        The network, float32, and the names of its weights that the directory does not have (a new
        head).

    Raises:
        ConfigError: The architecture has no such head, or its own weights are missing.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    kind: Any = AutoModelForMaskedLM if objective == "mlm" else AutoModelForCausalLM
    with loading(model.name, "a tokenizer"):
        network, info = kind.from_pretrained(
            model.folder, trust_remote_code=False, output_loading_info=True
        )
    inside = f"{network.base_model_prefix}."
    missing = sorted(info["missing_keys"])
    lost = [name for name in missing if name.startswith(inside) and "pooler" not in name]
    if lost:
        raise ConfigError(
            f"model: the weights of {model.name!r} lack {len(lost)} tensors of the network (first: "
            f"{lost[0]}). They belong to another architecture than config.json says."
        )
    if objective == "clm" and getattr(network.config, "is_decoder", True) is False:
        raise ConfigError(
            f"objective: clm needs a model of GPT-2's architecture, and {model.name!r} is of "
            f"{network.config.model_type!r}. Use mlm."
        )
    result: nn.Module = network.float()
    return result, missing


def train_tokenizer(texts: Sequence[str], vocabulary: int, max_length: int) -> Any:
    """Train a byte-level BPE tokeniser, GPT-2's kind, on texts.

    Returns:
        A tokeniser of transformers.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=3,  # else whole titles become one token, and a new title has none of them
        special_tokens=[_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    wrap: Any = PreTrainedTokenizerFast
    return wrap(
        tokenizer_object=core,
        eos_token=_END,
        bos_token=_END,
        unk_token=_END,
        pad_token=_END,
        model_max_length=max_length,
        padding_side="right",
    )


def fresh_gpt2(config: PretrainConfig, tokenizer: Any) -> nn.Module:
    """Return a GPT-2 with random weights (of the global generator) and the options' size."""
    from transformers import GPT2Config, GPT2LMHeadModel

    end = tokenizer.eos_token_id
    network: nn.Module = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=config.max_length + 1,  # the end of a text of full length
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    return network


def with_lora(network: nn.Module, lora: Lora, model: str, head: Sequence[str]) -> nn.Module:
    """Add low-rank matrices, which train alone but for a new head.

    Args:
        network: What they are added to.
        lora: Their settings.
        model: Its name in messages.
        head: Names of weights that are new, and so train in any case.

    Raises:
        ConfigError: A target is the network's output matrix as well.
    """
    new = [dict(network.named_parameters()).get(name) for name in head]
    whole: Any = network
    words, out = whole.get_input_embeddings(), whole.get_output_embeddings()
    tied = out is not None and words.weight is out.weight
    network = add_lora(network, lora, model)
    for name, module in network.named_modules():
        base = getattr(module, "base_layer", None)
        if tied and base is not None and base.weight is out.weight:
            raise ConfigError(
                f"lora_targets: {name.rpartition('.')[2]!r} of {model!r} has its weights in "
                "common with another layer (word embeddings and output), so that an addition to it "
                "alone could not be merged. Leave it out, or choose the objective contrastive or "
                "factors."
            )
    for parameter in new:
        if parameter is not None:
            parameter.requires_grad_(True)
    return network


def merged(network: nn.Module) -> nn.Module:
    """Fold low-rank additions into the matrices they stand beside; others are left as they are."""
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError:
        return network
    for name, module in list(network.named_modules()):
        if isinstance(module, BaseTunerLayer):
            merge: Any = module
            merge.merge()
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, merge.get_base_layer())
    return network


def save(network: Any, tokenizer: Any, source: Path | None, out: Path) -> None:
    """Write a model directory; each file appears whole.

    Args:
        network: A model of transformers, without additions.
        tokenizer: Its tokeniser.
        source: The directory it comes from, whose way of pooling is kept; None: none.
        out: Where to.
    """
    partial = out / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with loading(str(out), "a tokenizer"):  # quietly
        network.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    if source is not None:
        for name in _BESIDE:
            if (source / name).is_file():
                shutil.copy(source / name, partial / name)
        for pooling in source.glob("*_Pooling"):
            shutil.copytree(pooling, partial / pooling.name)
    # The weights last: a directory with them is a finished one.
    for path in sorted(partial.iterdir(), key=lambda one: one.suffix == ".safetensors"):
        target = out / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    partial.rmdir()
