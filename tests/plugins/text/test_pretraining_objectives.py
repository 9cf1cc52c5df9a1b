"""Losses of pre-training against transformers' own, closed forms and brute force."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from rankloom.errors import ConfigError
from rankloom.nn.text import TextModel
from rankloom_plugins.text.plugin import Lora
from rankloom_plugins.text.pretraining.batches import TextBatch, TextFeed
from rankloom_plugins.text.pretraining.catalog import factors_of
from rankloom_plugins.text.pretraining.networks import (
    fresh_gpt2,
    load_with_head,
    merged,
    train_tokenizer,
    with_lora,
)
from rankloom_plugins.text.pretraining.objectives import (
    Causal,
    Contrastive,
    Factors,
    Masked,
    Tastes,
    mask_tokens,
)
from rankloom_plugins.text.pretraining.plugin import PretrainConfig

TEXTS = ["star war", "love", "a b c d e", "war love star a", "b b b"]


def batch(tokenizer: Any, texts: list[str] = TEXTS) -> TextBatch:
    out = tokenizer(texts, padding=True, return_tensors="pt")
    return TextBatch(torch.arange(len(texts)), out["input_ids"], out["attention_mask"])


@pytest.fixture
def masked(tiny_bert: Path) -> Masked:
    model = TextModel(str(tiny_bert), Path())
    torch.manual_seed(1)
    network, head = load_with_head(model, "mlm")
    assert head  # a BertModel has none
    return Masked(network.eval(), model.tokenizer)


@pytest.fixture
def causal() -> Causal:
    torch.manual_seed(2)
    tokenizer = train_tokenizer(TEXTS * 4, 300, 16)
    config = PretrainConfig(config="c", out="o", width=16, heads=2, layers=2, max_length=16)
    return Causal(fresh_gpt2(config, tokenizer).eval(), tokenizer)


def test_masks_follow_the_recipe() -> None:
    torch.manual_seed(0)
    special = torch.zeros(1000, dtype=torch.bool)
    special[:5] = True
    ids = torch.randint(5, 1000, (400, 60))
    ids[:, 0], ids[:, -1] = 2, 3
    mask = torch.ones_like(ids)
    mask[:, 40:] = 0
    hidden, labels = mask_tokens(ids, mask, special, 4)
    chosen = labels != -100
    assert not chosen[:, 0].any()
    assert not chosen[:, 40:].any()
    assert chosen.any(1).all()
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(hidden[~chosen], ids[~chosen])
    assert float(chosen[:, 1:40].float().mean()) == pytest.approx(0.15, abs=0.01)
    assert float((hidden[chosen] == 4).float().mean()) == pytest.approx(0.8, abs=0.02)
    kept = (hidden == ids)[chosen].float().mean()
    assert float(kept) == pytest.approx(0.1, abs=0.02)
    assert not special[hidden[chosen & (hidden != 4)]].any()


def test_short_texts_have_one_token_to_find() -> None:
    special = torch.zeros(10, dtype=torch.bool)
    ids = torch.tensor([[7, 0, 0]]).expand(50, 3)
    _, labels = mask_tokens(ids, torch.tensor([[1, 0, 0]]).expand(50, 3), special, 4)
    assert torch.equal(labels, torch.tensor([[7, -100, -100]]).expand(50, 3))


def test_masked_loss_is_transformers_own(masked: Masked) -> None:
    given = batch(masked_tokenizer(masked))
    torch.manual_seed(3)
    (term,) = masked.loss(given)
    torch.manual_seed(3)
    ids, labels = mask_tokens(given.ids, given.mask, masked.special, masked.mask_id)
    want = masked.network(input_ids=ids, attention_mask=given.mask, labels=labels).loss
    torch.testing.assert_close(term.value, want)
    assert float(term.weight) == float((labels != -100).sum())


def masked_tokenizer(masked: Masked) -> Any:
    return TextModel(masked.network.name_or_path, Path()).tokenizer


@torch.no_grad()
def test_causal_loss_is_transformers_own_and_padding_changes_nothing(causal: Causal) -> None:
    tokenizer = train_tokenizer(TEXTS * 4, 300, 16)
    together = causal.loss(batch(tokenizer))[0]
    total, count = 0.0, 0
    for text in TEXTS:
        ids = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
        total += float(causal.network(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert float(together.weight) == count
    assert float(together.value) == pytest.approx(total / count, rel=1e-5)
    assert causal.report(math.log(7.0)) == pytest.approx(7.0)


@torch.no_grad()
def test_contrastive_loss_by_hand(tiny_bert: Path) -> None:
    model = TextModel(str(tiny_bert), Path())
    network = model.load_network().eval()  # without dropout both views are one
    objective = Contrastive(network, "mean", 0.1)
    given = batch(model.tokenizer)
    (term,) = objective.loss(given)
    states = network(input_ids=given.ids, attention_mask=given.mask).last_hidden_state
    kept = given.mask[:, :, None].float()
    vectors = F.normalize((states * kept).sum(1) / kept.sum(1), dim=1)
    cosines = (vectors @ vectors.T / 0.1).tolist()
    want = [
        math.log(sum(math.exp(value) for value in row)) - row[at] for at, row in enumerate(cosines)
    ]
    assert float(term.value) == pytest.approx(sum(want) / len(want), rel=1e-5)


@torch.no_grad()
def test_the_map_to_factors_starts_from_the_ridge_regression(tiny_bert: Path) -> None:
    from sklearn.linear_model import Ridge

    model = TextModel(str(tiny_bert), Path())
    targets = torch.randn(len(TEXTS), 3, generator=torch.Generator().manual_seed(4))
    hits = torch.tensor([[True, False, False, True, False], [False] * 5])
    tastes = Tastes(targets, torch.randn(2, 3, generator=torch.Generator().manual_seed(6)), hits)
    objective = Factors(model.load_network().eval(), "mean", tastes)
    given = batch(model.tokenizer)
    objective.start([given], [given], (0.5,))
    with torch.no_grad():
        vectors = objective._encoded([given]).double()
    size = float((vectors - vectors.mean(0)).square().sum(1).mean())
    ridge = Ridge(alpha=0.5 * size).fit(vectors.numpy(), targets.double().numpy())
    want = torch.from_numpy(ridge.predict(vectors.numpy()))
    found = objective.map(vectors.float()).double()
    torch.testing.assert_close(found, want, atol=1e-4, rtol=1e-3)
    (term,) = objective.loss(given)
    by_hand = (want - targets).square().sum(1).mean()
    assert float(term.value) == pytest.approx(float(by_hand), rel=1e-3)
    ranks = sorted(range(5), key=lambda at: -float(tastes.users[0].double() @ want[at]))
    gain = sum(1 / math.log2(2 + ranks.index(at)) for at in (0, 3))
    assert objective.judge([given], 1) == pytest.approx(gain / (1 + 1 / math.log2(3)), rel=1e-4)


def test_factors_have_the_inner_products_of_the_scores() -> None:
    generator = torch.Generator().manual_seed(5)
    scores = torch.randn(40, 4, generator=generator) @ torch.randn(4, 25, generator=generator)
    scores = scores - scores.mean(1, keepdim=True)
    scores[3] = torch.nan  # a query of whom the scorer knows nothing
    found = factors_of(scores, 10, 0)
    assert float(found.square().sum(1).mean()) == pytest.approx(1.0, abs=1e-5)
    known = scores.nan_to_num(0.0)
    centred = known - known.mean(1, keepdim=True)
    gram = centred.T @ centred
    gram = gram / gram.diag().mean()
    torch.testing.assert_close(found @ found.T, gram, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (None, {"query", "value"}),
        ("all", {"query", "key", "value", "dense"}),
    ],
)
def test_lora_trains_little_and_merges_into_the_same_function(
    masked: Masked, targets: Any, names: set[str]
) -> None:
    given = batch(masked_tokenizer(masked))
    _, head = load_with_head(TextModel(masked.network.name_or_path, Path()), "mlm")
    own = set(dict(masked.network.named_parameters()))
    network = with_lora(masked.network, Lora(rank=2, alpha=4.0, targets=targets), "tiny", head)
    trained = {name for name, one in network.named_parameters() if one.requires_grad}
    added = {name.partition(".lora_")[0].rpartition(".")[2] for name in trained if "lora" in name}
    assert added == names
    assert {n.replace(".base_layer", "") for n in trained if "lora" not in n} == own & set(head)
    for name, parameter in network.named_parameters():
        if "lora_" in name:  # one of the two is 0 at first
            torch.nn.init.normal_(parameter, std=0.1)
    before = network(input_ids=given.ids, attention_mask=given.mask).logits
    plain = merged(network)
    assert not any("lora" in name for name, _ in plain.named_parameters())
    after = plain(input_ids=given.ids, attention_mask=given.mask).logits
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_lora_beside_word_embeddings_merges_where_no_head_shares_them(
    masked: Masked, tiny_bert: Path
) -> None:
    given = batch(masked_tokenizer(masked))
    lora = Lora(rank=2, alpha=4.0, targets=["value", "word_embeddings"])
    with pytest.raises(ConfigError, match="'word_embeddings' of 'tiny' has its weights in"):
        with_lora(masked.network, lora, "tiny", [])
    network = with_lora(TextModel(str(tiny_bert), Path()).load_network().eval(), lora, "tiny", [])
    for name, parameter in network.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    before = network(input_ids=given.ids, attention_mask=given.mask).last_hidden_state
    after = merged(network)(input_ids=given.ids, attention_mask=given.mask).last_hidden_state
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)


def test_feeds_cut_to_the_longest_text() -> None:
    ids = torch.arange(12).view(3, 4)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    feed = TextFeed(ids, mask, torch.tensor([2, 0]))
    one = feed.batch(torch.tensor([0, 1]))
    assert one.texts.tolist() == [2, 0]
    assert one.ids.tolist() == [[8, 9], [0, 1]]
