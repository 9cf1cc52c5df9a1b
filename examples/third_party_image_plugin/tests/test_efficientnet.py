"""The package passes Rankloom's conformance checks, and its features are the network's own."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from rankloom_efficientnet.encoder import WEIGHTS, EfficientNetEncoder
from rankloom_efficientnet.plugin import EfficientNetConfig

from rankloom.protocols import Build
from rankloom.testing import conformance_checks


@conformance_checks(plugin="efficientnet", examples={"encoder:efficientnet_lite0": {"size": 64}})
def test_conformance(check: Callable[[], None]) -> None:
    check()


def encode(files: list[bytes], **settings: int) -> torch.Tensor:
    config = EfficientNetConfig(precision="float32", **settings)
    encoder = EfficientNetEncoder(config, Build())
    return encoder(encoder.precompute(encoder.collate(files))).vectors


@pytest.fixture(scope="module")
def products() -> pl.DataFrame:
    """25 pictures of each of the 12 most frequent article types."""
    here = Path(__file__).resolve().parents[3].parent / "shared" / "data"
    data = Path(os.environ.get("RANKLOOM_SHARED_DATA", here)) / "fashion-thumbnails"
    if not data.is_dir():
        pytest.fail(f"The pictures are not at {data}. Set RANKLOOM_SHARED_DATA.")
    frame = pl.read_parquet(data / "products.parquet")
    frequent = frame["article_type"].value_counts().sort("count", "article_type", descending=True)
    kept = frame.filter(pl.col("article_type").is_in(frequent["article_type"][:12].implode()))
    return kept.group_by("article_type", maintain_order=True).head(25)


def test_features_are_what_the_classifier_of_the_package_reads(products: pl.DataFrame) -> None:
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(WEIGHTS)).eval()
    network._fc = torch.nn.Identity()
    files = products["image"].to_list()[:3]
    rows = []
    for data in files:
        picture = Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.BICUBIC)
        pixels = torch.tensor(list(picture.tobytes()), dtype=torch.float32).view(224, 224, 3)
        with torch.no_grad():
            rows.append(network((pixels.permute(2, 0, 1)[None] - 127) / 128)[0])
    torch.testing.assert_close(encode(files), torch.stack(rows), atol=1e-5, rtol=1e-5)


def test_the_nearest_picture_mostly_shows_the_same_kind_of_article(products: pl.DataFrame) -> None:
    vectors = torch.nn.functional.normalize(encode(products["image"].to_list(), size=128), dim=1)
    nearest = (vectors @ vectors.T).fill_diagonal_(-1).argmax(1).tolist()
    kinds = products["article_type"].to_list()
    right = sum(kinds[row] == kinds[other] for row, other in enumerate(nearest))
    assert right / len(kinds) > 0.6  # one in twelve by chance
