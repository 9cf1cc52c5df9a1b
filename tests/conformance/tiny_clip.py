"""A small random model of CLIP's true architecture on disk, made by transformers itself."""

from __future__ import annotations

import string
from pathlib import Path

import torch

SIZE = 32


def save_tiny_clip(folder: Path) -> Path:
    """Write weights, processor and a tokeniser of letters."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    letters = [*string.ascii_lowercase, " "]
    ends = ["<|startoftext|>", "<|endoftext|>"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *ends]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    start, end = (vocabulary[token] for token in ends)
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "initializer_factor": 5.0,  # larger than usual: pictures then differ visibly
    }
    text = {"vocab_size": len(tokens), "max_position_embeddings": 16, "eos_token_id": end}
    config = CLIPConfig(
        text_config={**tower, **text, "bos_token_id": start, "pad_token_id": end},
        vision_config={**tower, "image_size": SIZE, "patch_size": 8},
        projection_dim=24,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessor(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
    )
    words = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16)
    CLIPProcessor(image_processor=pictures, tokenizer=words).save_pretrained(folder)
    return folder
