"""The command: read, tokenise, train, judge, write."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rankloom.api.progress import visible
from rankloom.config import TrainingConfig
from rankloom.errors import ConfigError
from rankloom.nn.text import TextModel, text_settings
from rankloom.protocols import Build
from rankloom.training.feeds import Batches
from rankloom.training.run import Fitted, run
from rankloom_plugins.text.plugin import Lora
from rankloom_plugins.text.pretraining.batches import TextBatch, TextFeed
from rankloom_plugins.text.pretraining.catalog import Catalog, read_catalog
from rankloom_plugins.text.pretraining.effect import cold_effect
from rankloom_plugins.text.pretraining.networks import (
    fresh_gpt2,
    load_with_head,
    merged,
    save,
    train_tokenizer,
    with_lora,
)
from rankloom_plugins.text.pretraining.objectives import (
    Causal,
    Contrastive,
    Factors,
    Masked,
    Objective,
)
from rankloom_plugins.text.pretraining.plugin import PretrainConfig
from rankloom_plugins.text.pretraining.report import REPORT, render, write_json

__all__ = ["Pretrain"]

#: Times that held-out texts are judged, with other masks or dropout each time.
_LOOKS = 4
#: Ridge strengths of the map that ``factors`` starts from; the validation texts choose.
_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass
class _Model:
    """What is trained, and where it comes from.

    Attributes:
        kind: Name of the encoder that reads it: ``bert`` or ``gpt2``.
        objective: The loss.
        tokenizer: Of transformers.
        source: The model that was gone on from; None: from nothing.
        new_head: The directory had no head for the objective, so its loss before says little.
    """

    kind: str
    objective: Objective
    tokenizer: Any
    source: TextModel | None
    new_head: bool = False


class Pretrain:
    """``rankloom pretrain``; see :class:`PretrainConfig`.

    Args:
        config: Its options.
        build: ``base_dir`` is where relative paths start.
    """

    def __init__(self, config: PretrainConfig, build: Build) -> None:
        self.config = config
        self.here = build.base_dir
        self.out = build.base_dir / config.out

    def run(self) -> int:
        """Pretrain, and print what came of it.

        Raises:
            ConfigError: An option is wrong, or the directory belongs to another run.
            DataError: There are too few texts.
        """
        report = self.pretrain()
        text = (
            json.dumps(report, indent=2) if self.config.as_json else render(report, self.config.out)
        )
        sys.stdout.write(f"{text}\n")
        return 0

    def pretrain(self) -> dict[str, Any]:
        """Pretrain and return the report, which the directory holds too (``pretrain.json``)."""
        config = self.config
        self._check_out()
        catalog = read_catalog(config, self.here)
        seed = catalog.settings.seed
        torch.manual_seed(seed)
        model = self._model(catalog)
        ids, mask = self._tokenize(model, catalog)
        feeds = {name: TextFeed(ids, mask, part) for name, part in catalog.parts.items()}
        if isinstance(model.objective, Factors):
            train, chosen_by = (self._batches(feeds[name]) for name in ("train", "validation"))
            model.objective.start(train, chosen_by, _STRENGTHS)
        module = model.objective.module
        weights = sum(one.numel() for one in module.parameters())
        trained = sum(one.numel() for one in module.parameters() if one.requires_grad)
        before = validation = None
        if model.source is not None:
            before = self._judge(model.objective, feeds["held_out"])
            validation = model.objective.judge(self._batches(feeds["validation"]), 1)
        self.out.mkdir(parents=True, exist_ok=True)
        write_json(self.out / REPORT, {"settings": self._settings(), "done": False})
        started = time.perf_counter()
        fitted = self._train(model, feeds, catalog)
        minutes = (time.perf_counter() - started) / 60
        after = self._judge(model.objective, feeds["held_out"])
        model.objective.network = merged(model.objective.network)
        source = None if model.source is None else model.source.folder
        save(model.objective.network, model.tokenizer, source, self.out)
        report = {
            "model": config.model or "from nothing",
            "objective": self._objective(),
            "encoder": model.kind,
            "field": catalog.field,
            "protocol": f"{catalog.protocol}, {catalog.n_cold:,} items",
            "texts": {name: len(part) for name, part in catalog.parts.items()},
            "weights": weights,
            "trained_weights": trained,
            "epochs": fitted.epochs,
            "epochs_trained": fitted.trained,
            "minutes": minutes,
            "measure": model.objective.measure,
            "new_head": model.new_head,
            "validation_before": validation,
            "validation": fitted.history,
            "before": before,
            "after": after,
            "cold": self._effect(catalog, model) if self._ranks() else None,
        }
        write_json(self.out / REPORT, {**report, "settings": self._settings(), "done": True})
        shutil.rmtree(self.out / "training" / "checkpoints", ignore_errors=True)
        return report

    # -- the directory ----------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        """Return the options that the result depends on."""
        free = {"out", "evaluate", "fresh", "as_json", "trainer"}
        return self.config.model_dump(mode="json", exclude=free)

    def _check_out(self) -> None:
        """See that the directory is free, or holds what this run began."""
        path = self.out / REPORT
        if self.config.fresh:
            shutil.rmtree(self.out / "training", ignore_errors=True)
            path.unlink(missing_ok=True)
        elif path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.get("done"):
                raise ConfigError(
                    f"--out {self.config.out} holds a finished model. Choose another directory, or "
                    "add --fresh to make it anew."
                )
            theirs, ours = found.get("settings", {}), self._settings()
            other = sorted(name for name in ours if ours[name] != theirs.get(name))
            if other:
                raise ConfigError(
                    f"--out {self.config.out} holds the unfinished work of a run with other "
                    f"{', '.join(other)}. Give the same options to go on with it, choose another "
                    "directory, or add --fresh to start anew."
                )
        elif self.out.exists() and any(self.out.iterdir()):
            raise ConfigError(
                f"--out {self.config.out} is not empty, and not the work of this command. Choose "
                "another directory."
            )

    # -- the model --------------------------------------------------------------------------------

    def _objective(self) -> str:
        if self.config.objective is not None:
            return self.config.objective
        if self.config.model is None:
            return "clm"
        found = TextModel(self.config.model, self.here).config
        return "clm" if found.get("model_type") == "gpt2" else "mlm"

    def _model(self, catalog: Catalog) -> _Model:
        config = self.config
        if config.model is None:
            known = [catalog.texts[at] for at in catalog.parts["train"].tolist()]
            tokenizer = train_tokenizer(known, config.vocabulary, config.max_length)
            network = fresh_gpt2(config, tokenizer)
            return _Model("gpt2", Causal(network, tokenizer), tokenizer, None)
        source = TextModel(config.model, self.here)
        kind = "gpt2" if source.config.get("model_type") == "gpt2" else "bert"
        name, head = self._objective(), list[str]()
        if name in ("mlm", "clm"):
            network, head = load_with_head(source, name)
        else:
            network = source.load_network()
        tokenizer = source.tokenizer
        if name == "mlm" and tokenizer.mask_token_id is None:
            raise ConfigError(
                f"objective: the tokeniser of {config.model!r} has no mask token, which mlm needs. "
                "Use clm or contrastive."
            )
        if config.tuning == "lora":
            network = with_lora(network, self._lora(), config.model, head)
        for inner, module in network.named_modules():
            if inner.rpartition(".")[2] == "pooler":  # never used here
                module.requires_grad_(False)
        objective: Objective
        if name == "mlm":
            objective = Masked(network, tokenizer)
        elif name == "clm":
            objective = Causal(network, tokenizer)
        elif name == "contrastive":
            objective = Contrastive(network, self._pooling(source), config.temperature)
        else:
            assert catalog.tastes is not None
            objective = Factors(network, self._pooling(source), catalog.tastes)
        return _Model(kind, objective, tokenizer, source, bool(head))

    def _lora(self) -> Lora:
        rank, names = self.config.lora_rank, self.config.lora_targets
        targets: Any = "all" if names == ["all"] else names or None
        return Lora(rank=rank, alpha=2.0 * rank, targets=targets)

    def _pooling(self, source: TextModel) -> Any:
        folder, known = source.settings_dir, source.config
        return text_settings(folder, known, self.config.max_length, None, None).pooling

    def _tokenize(self, model: _Model, catalog: Catalog) -> tuple[Tensor, Tensor]:
        """``[n, t]`` ids and mask of all texts; GPT-2's texts get an end, so one place less."""
        length = self.config.max_length
        if model.source is not None:
            folder, known = model.source.settings_dir, model.source.config
            length = text_settings(folder, known, length, None, None).max_length
            length -= self._objective() == "clm"
        out = model.tokenizer(
            catalog.texts,
            padding=True,
            truncation=True,
            max_length=length,
            return_token_type_ids=False,
            return_tensors="pt",
        )
        return out["input_ids"], out["attention_mask"]

    # -- training ---------------------------------------------------------------------------------

    def _batches(self, feed: TextFeed) -> list[TextBatch]:
        rows = torch.arange(len(feed))
        return [feed.batch(some) for some in torch.split(rows, self.config.batch_size)]

    def _train(self, model: _Model, feeds: dict[str, TextFeed], catalog: Catalog) -> Fitted:
        config, objective = self.config, model.objective
        quick = config.model is None or config.tuning == "lora"
        settings = TrainingConfig(
            learning_rate=config.learning_rate or (1e-3 if quick else 5e-5),
            weight_decay=config.weight_decay,
            batch_size=config.batch_size,
            epochs=config.epochs,
            patience=config.patience,
            monitor=objective.monitor,
            gradient_clip=1.0,
        )
        chosen_by = self._batches(feeds["validation"])
        return run(
            objective.module,
            objective.loss,
            Batches(feeds["train"], config.batch_size, catalog.settings.seed),
            settings,
            config.trainer,
            self.out / "training" / "checkpoints",
            validate=partial(_monitored, objective, chosen_by),  # which other processes can have
            seed=catalog.settings.seed,
            progress=not config.as_json and visible(),
        )

    def _judge(self, objective: Objective, feed: TextFeed) -> float:
        return objective.report(objective.judge(self._batches(feed), _LOOKS))

    # -- what it does for cold items --------------------------------------------------------------

    def _ranks(self) -> bool:
        return self.config.evaluate and self.config.texts == "warm"

    def _effect(self, catalog: Catalog, model: _Model) -> dict[str, Any]:
        common = {"type": model.kind, "max_length": self.config.max_length}
        encoders: dict[str, dict[str, Any]] = {
            "after": {**common, "model": str(self.out.resolve())}
        }
        if model.source is not None:
            encoders["before"] = {**common, "model": str(model.source.folder.resolve())}
        encoders["tfidf"] = {"type": "tfidf"}
        return cold_effect(catalog, encoders, self.config.target, not self.config.as_json)


def _monitored(objective: Objective, batches: list[TextBatch]) -> dict[str, float]:
    return {objective.monitor: objective.judge(batches, 1)}
