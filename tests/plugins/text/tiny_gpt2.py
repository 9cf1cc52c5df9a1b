"""A small random GPT-2 on disk, made by transformers itself."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["save_tiny_gpt2"]


def save_tiny_gpt2(folder: Path) -> Path:
    """Write GPT-2 with a byte-level tokeniser trained on a few titles; no padding token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["star war", "love star", "Sleepless in Seattle"], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=300, n_positions=16, n_embd=16, n_layer=3, n_head=2)
    GPT2Model(config).save_pretrained(folder)
    return folder
