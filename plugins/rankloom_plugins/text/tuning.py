"""Which weights of a text model train."""

from __future__ import annotations

from typing import Any

from torch import nn

from rankloom.errors import ConfigError, MissingExtraError
from rankloom_plugins.text.plugin import LastLayers, Lora, LoraTuning, TextModelConfig

__all__ = ["add_lora", "prepare_for_tuning", "transformer_layers"]


def prepare_for_tuning(network: nn.Module, config: TextModelConfig) -> nn.Module:
    """Return the network with the weights that ``tuning`` names ready to train.

    The network says with ``pretrained`` that weights which do not train are the named model's, so
    that a bundle holds the others alone.

    Raises:
        ConfigError: There are not so many layers, or no modules of the names that LoRA was given.
        MissingExtraError: peft is not installed.
    """
    network.requires_grad_(config.tuning == "full")
    if isinstance(config.tuning, LastLayers):
        layers = transformer_layers(network)
        wanted = config.tuning.last_layers
        if wanted > len(layers):
            raise ConfigError(
                f"tuning: last_layers is {wanted}, but {config.model!r} has {len(layers)} layers. "
                "Give fewer, or 'tuning: full'."
            )
        for layer in list(layers)[len(layers) - wanted :]:
            layer.requires_grad_(True)
    elif isinstance(config.tuning, LoraTuning):
        network = add_lora(network, config.tuning.lora, config.model)
    for name, module in network.named_modules():
        if name.rpartition(".")[2] == "pooler":  # never used here: it would wait for a gradient
            module.requires_grad_(False)
    network.pretrained = True  # type: ignore[assignment]  # a mark, no submodule
    return network


def transformer_layers(network: nn.Module) -> nn.ModuleList:
    """Return the blocks of a transformer: its longest list of modules.

    Raises:
        ConfigError: It has none.
    """
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise ConfigError(
            f"tuning: {type(network).__name__} has no list of layers; use 'lora' or 'full'."
        )
    return max(lists, key=len)


def add_lora(network: nn.Module, lora: Lora, model: str) -> nn.Module:
    """Add low-rank matrices, which alone train.

    Raises:
        ConfigError: peft knows no targets for the architecture, or none of those given is there.
        MissingExtraError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("tuning: lora", "peft", "lora") from error
    settings: dict[str, Any] = {"r": lora.rank, "lora_alpha": lora.alpha}
    targets = "all-linear" if lora.targets == "all" else lora.targets
    settings |= {"lora_dropout": lora.dropout, "target_modules": targets}
    conv = "Conv1D" in {type(module).__name__ for module in network.modules()}  # GPT-2's matrices
    try:
        return inject_adapter_in_model(LoraConfig(fan_in_fan_out=conv, **settings), network)
    except ValueError as error:
        names = sorted(
            {
                name.rpartition(".")[2]
                for name, module in network.named_modules()
                if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
            }
        )
        raise ConfigError(
            f"tuning: LoRA found no modules in {model!r} ({error}). Name some with 'targets': "
            f"{', '.join(names)}."
        ) from error
