from __future__ import annotations

import pytest
import torch

from rankloom.data.fields import FieldSpec
from rankloom.errors import ConfigError
from rankloom.protocols import Build, Encoder, TrainData
from rankloom_plugins.tabular.embedding import EmbeddingEncoder
from rankloom_plugins.tabular.plugin import EmbeddingConfig

ITEM = FieldSpec("item.id", "id")
USER = FieldSpec("user.id", "id")


def build(field: FieldSpec = ITEM, id_dropout: float = 0.0, n: int = 4) -> EmbeddingEncoder:
    config = EmbeddingConfig(dim=6, id_dropout=id_dropout)
    return EmbeddingEncoder(config, Build(n_items=n, n_users=3, field=field, seed=3))


def test_rows_of_the_side_and_unknown_ids(train: TrainData) -> None:
    encoder = build()
    encoder.prepare(train)
    assert isinstance(encoder, Encoder)
    features = encoder.collate([0, 3, None, -1, 4, 2])
    assert features.present.tolist() == [True, False, False, False, False, True]
    encoded = encoder(features)
    assert encoded.tokens is None
    assert encoded.mask is not None
    assert encoded.mask[:, 0].tolist() == features.present.tolist()
    assert torch.equal(encoded.vectors[[0, 5]], encoder.table.weight[[0, 2]])
    assert encoded.vectors[1:5].eq(0).all()

    users = build(USER)
    users.prepare(train)
    assert users.table.weight.shape == (3, 6)
    assert users.collate([0, 1, 2]).present.tolist() == [True, True, False]


def test_cold_ids_get_no_gradient(train: TrainData) -> None:
    encoder = build()
    encoder.prepare(train)
    encoder(encoder.collate([0, 1, 3, 3])).vectors.square().sum().backward()
    grad = encoder.table.weight.grad
    assert grad is not None
    assert grad[[0, 1]].abs().sum() > 0
    assert grad[[2, 3]].abs().sum() == 0


def test_mask_follows_prepare_even_for_features_made_before(train: TrainData) -> None:
    encoder = build()
    early = encoder.collate([0, 3])
    encoder.prepare(train)
    mask = encoder(early).mask
    assert mask is not None
    assert mask[:, 0].tolist() == [True, False]


def test_id_dropout_hides_whole_ids_in_training_alone() -> None:
    torch.manual_seed(0)
    encoder = build(id_dropout=0.25, n=2000)
    features = encoder.collate(list(range(2000)))
    encoded = encoder.train()(features)
    assert encoded.mask is not None
    hidden = ~encoded.mask[:, 0]
    assert 0.2 < hidden.float().mean() < 0.3
    assert encoded.vectors[hidden].eq(0).all()
    assert torch.equal(encoded.vectors[~hidden], encoder.table.weight[~hidden])
    calm = encoder.eval()(features)
    assert calm.mask is not None
    assert calm.mask.all()


def test_start_is_small_seeded_and_differs_by_side() -> None:
    assert torch.equal(build().table.weight, build().table.weight)
    assert not torch.equal(build(n=3).table.weight, build(USER).table.weight)
    assert abs(float(build(n=3000).table.weight.detach().std()) - 0.02) < 1e-3


def test_state_sizes_another_table(train: TrainData) -> None:
    encoder = build()
    encoder.prepare(train)
    other = build(n=9)
    other.import_state(encoder.export_state())
    other.load_state_dict(encoder.state_dict())
    features = encoder.collate([0, 1, 3])
    assert torch.equal(other(features).vectors, encoder(features).vectors)
    assert other.collate([3, 7]).present.tolist() == [False, False]


@pytest.mark.parametrize(
    "field", [FieldSpec("item.genres", "category"), FieldSpec("context.id", "id"), None]
)
def test_only_ids(field: FieldSpec | None) -> None:
    with pytest.raises(ConfigError, match="embedding"):
        EmbeddingEncoder(EmbeddingConfig(), Build(field=field))


def test_no_rows_at_all() -> None:
    encoder = build(n=0)
    features = encoder.collate([None, 0])
    assert not features.present.any()
    assert encoder(features).vectors.tolist() == [[0.0] * 6] * 2
