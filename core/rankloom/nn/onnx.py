"""BERT's networks for ONNX Runtime: fused operators, matrices in 8 bits.

The graph is written here, operator by operator, and not exported from a traced network: exporters
leave attention and normalisation in pieces, which costs half of the speed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankloom.errors import ConfigError, MissingExtraError
from rankloom.nn.text import TextModel

__all__ = ["OnnxNetwork", "quantized", "write_bert"]

_FUSED = "com.microsoft"
_OPSET = 17


class OnnxNetwork:
    """Runs a network on the CPU: ids and mask ``[n, t]`` to token vectors ``[n, t, d]``.

    Args:
        path: The network.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return token vectors float32 on the device of ``ids``; padding must be on the right."""
        given = {
            "input_ids": ids.cpu().to(torch.int32).numpy(),
            "attention_mask": mask.cpu().to(torch.int32).numpy(),
        }
        (states,) = self._session.run(None, given)
        return torch.from_numpy(states).to(ids.device)


def quantized(model: TextModel, directory: Path) -> Path:
    """Return a network with int8 matrices (one scale a column), made where it is not there yet.

    Activations are quantised while it runs, so that no calibration data is needed.

    Args:
        model: The text model.
        directory: Where networks are kept, by the digest of their weights.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        ConfigError: The model is not of BERT's architecture.
    """
    signed = _has_vnni()
    path = directory / f"{model.digest()[:32]}-{'s8' if signed else 'u8'}-1.onnx"
    if path.exists():
        return path
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtraError("compress: {weights: int8}", "onnxruntime", "onnx") from error
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".export-") as temporary:
        plain, small = Path(temporary) / "plain.onnx", Path(temporary) / "int8.onnx"
        write_bert(model, plain)
        quantize_dynamic(
            plain,
            small,
            op_types_to_quantize=["MatMul", "Attention"],
            per_channel=True,
            weight_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            # Shapes are not inferred through operators that are not ONNX's own.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        os.replace(small, path)  # whole or not at all, also where two processes write at once
    return path


def _has_vnni() -> bool:
    """Whether the processor multiplies unsigned by signed bytes without overflow, and fast."""
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def write_bert(model: TextModel, path: Path) -> None:
    """Write a network of BERT's architecture, float32, with fused operators.

    Args:
        model: The text model.
        path: Where to.

    Raises:
        ConfigError: It is of another architecture, or has another activation or positions.
    """
    import onnx
    from onnx import TensorProto, helper

    config = model.config
    known = (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
    )
    if not known:
        raise ConfigError(
            f"compress: 8-bit matrices are there for BERT's architecture (GELU, absolute "
            f"positions); {model.name!r} has model_type {config.get('model_type')!r}. Leave "
            f"'compress.weights' out."
        )
    weights = {k: v.detach().float() for k, v in model.load_network().state_dict().items()}
    graph = _Graph(weights, float(config.get("layer_norm_eps", 1e-12)))
    hidden = graph.embeddings()
    for layer in range(int(config["num_hidden_layers"])):
        hidden = graph.layer(layer, hidden, int(config["num_attention_heads"]))
    shape = ["batch", "tokens"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT32, shape)
        for name in ("input_ids", "attention_mask")
    ]
    graph.nodes.append(helper.make_node("Identity", [hidden], ["states"]))
    output = helper.make_tensor_value_info("states", TensorProto.FLOAT, [*shape, model.hidden_size])
    made = helper.make_graph(graph.nodes, "bert", inputs, [output], graph.initializers)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), str(path))


class _Graph:
    """Collects nodes and weights.

    Args:
        weights: The network's ``state_dict``.
        epsilon: Of the layer normalisations.
    """

    def __init__(self, weights: Mapping[str, Tensor], epsilon: float) -> None:
        self.weights = weights
        self.epsilon = epsilon
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def embeddings(self) -> str:
        """Sum and normalise the embeddings; of the token types all are the first."""
        w = self.weights
        kind = w["embeddings.token_type_embeddings.weight"][:1]
        names = [
            self._constant("words", w["embeddings.word_embeddings.weight"]),
            self._constant("positions", w["embeddings.position_embeddings.weight"] + kind),
            "",
            self._constant("embeddings.gamma", w["embeddings.LayerNorm.weight"]),
            self._constant("embeddings.beta", w["embeddings.LayerNorm.bias"]),
            "attention_mask",
        ]
        self._node(
            "EmbedLayerNormalization",
            ["input_ids", "", *names],
            ["hidden.0", "lengths"],
            epsilon=self.epsilon,
        )
        return "hidden.0"

    def layer(self, number: int, hidden: str, heads: int) -> str:
        """Add one block; returns the name of its output."""
        at = f"encoder.layer.{number}"
        parts = ("query", "key", "value")
        inner = [f"{at}.attention.self.{part}" for part in parts]
        weight = torch.cat([self.weights[f"{name}.weight"].T for name in inner], dim=1)
        bias = torch.cat([self.weights[f"{name}.bias"] for name in inner])
        context = self._node(
            "Attention",
            [
                hidden,
                self._constant(f"{at}.qkv", weight),
                self._constant(f"{at}.qkv.bias", bias),
                "lengths",
            ],
            [f"{at}.context"],
            num_heads=heads,
        )
        attended = self._close(f"{at}.attention.output", context, hidden)
        wide = self._matrix(f"{at}.intermediate.dense", attended)
        bias_name = self._constant(
            f"{at}.intermediate.bias", self.weights[f"{at}.intermediate.dense.bias"]
        )
        wide = self._node("BiasGelu", [wide, bias_name], [f"{at}.wide"])
        return self._close(f"{at}.output", wide, attended)

    def _close(self, at: str, value: str, skip: str) -> str:
        """A matrix, its bias, the skipped connection and the normalisation."""
        w = self.weights
        names = [
            self._constant(f"{at}.gamma", w[f"{at}.LayerNorm.weight"]),
            self._constant(f"{at}.beta", w[f"{at}.LayerNorm.bias"]),
            self._constant(f"{at}.bias", w[f"{at}.dense.bias"]),
        ]
        return self._node(
            "SkipLayerNormalization",
            [self._matrix(f"{at}.dense", value), skip, *names],
            [f"{at}.normal"],
            epsilon=self.epsilon,
        )

    def _matrix(self, at: str, value: str) -> str:
        from onnx import helper

        name = self._constant(f"{at}.matrix", self.weights[f"{at}.weight"].T)
        out = f"{at}.product"
        self.nodes.append(helper.make_node("MatMul", [value, name], [out], name=out))
        return out

    def _node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **settings: Any
    ) -> str:
        from onnx import helper

        name = f"{kind}.{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, outputs, name=name, domain=_FUSED, **settings)
        )
        return outputs[0]

    def _constant(self, name: str, value: Tensor) -> str:
        from onnx import numpy_helper

        array = np.ascontiguousarray(value.numpy())
        self.initializers.append(numpy_helper.from_array(array, name))
        return name
