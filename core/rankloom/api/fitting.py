"""The order in which things learn."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankloom.api.progress import Tell
from rankloom.api.pseudo_labels import Confidence, confidence_of, label
from rankloom.api.run_log import RunLog
from rankloom.config import ModelConfig, PipelineConfig
from rankloom.data.cache import EmbeddingCache
from rankloom.data.dataset import Dataset, HistoryRule, Phase, SplitResult
from rankloom.data.interactions import Interactions
from rankloom.errors import ConfigError
from rankloom.pipeline.builder import Parts
from rankloom.pipeline.field_encoding import Skipped
from rankloom.pipeline.handle import ModelHandle
from rankloom.pipeline.phases import PhaseQueries
from rankloom.protocols import TrainData
from rankloom.training.feeds import Batches, Feed, PairFeed, SequenceFeed
from rankloom.training.model_loss import ModelLoss
from rankloom.training.module import OnEpoch
from rankloom.training.run import Fitted, run
from rankloom.training.trainer_options import encoding_device
from rankloom.training.validation import Validator

__all__ = ["FitLog", "Fitter", "train_data"]


def train_data(dataset: Dataset, rows: Tensor, seed: int) -> TrainData:
    """Return the training rows as components see them."""
    events = dataset.interactions.select(rows)
    order = events.order()
    events = events.select(order)
    positive = dataset.positive[rows][order]
    universe = torch.zeros(len(dataset.items), dtype=torch.bool)
    universe[events.items[positive]] = True
    known = torch.zeros(len(dataset.users), dtype=torch.bool)
    known[events.users] = True
    return TrainData(events, positive, dataset.items, dataset.users, universe, known, seed)


@dataclass
class FitLog:
    """What a fit did.

    Attributes:
        seconds: By component, of its fits and its calibration together.
        fitted: Epochs and best validation value by model.
        encoded: Values frozen encoders encoded, by model (0: they came from the cache).
        resumed: Models whose interrupted training was continued.
        skipped: Values that could not be read (``on_bad_item: skip``), each once.
        taught: Of models with pseudo-labels, the epochs and best validation value without them.
        confidence: What their labels were made by, and how many there were.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    fitted: dict[str, Fitted] = field(default_factory=dict)
    encoded: dict[str, int] = field(default_factory=dict)
    resumed: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    taught: dict[str, Fitted] = field(default_factory=dict)
    confidence: dict[str, Confidence] = field(default_factory=dict)

    def summary(self) -> str:
        """Return one line: the seconds, and how much had to be encoded."""
        said = f"fitted in {sum(self.seconds.values()):.1f} s"
        if self.encoded:
            count = sum(self.encoded.values())
            said = f"{said}; values newly encoded by frozen encoders: {count:,}"
        if self.skipped:
            fields = Counter(one.field for one in self.skipped)
            counts = ", ".join(f"{field} {n:,}" for field, n in fields.items())
            said = (
                f"{said}; unreadable values left out: {counts} (named in log.skipped and log.jsonl)"
            )
        for name, found in self.confidence.items():
            said = f"{said}; pseudo-labels of {name!r}: {found.labels:,}"
            if not found.labels:
                said = f"{said} (the surest pairs were right in {found.precision:.0%} of cases)"
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return something that JSON can hold."""
        return {
            "fit_seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "values_encoded": dict(self.encoded),
            "resumed": list(self.resumed),
            "skipped": [asdict(one) for one in self.skipped],
            "models": {
                name: {"epochs": f.epochs, "trained": f.trained, "best": f.best}
                for name, f in self.fitted.items()
            },
            "pseudo_labels": {
                name: {
                    "labels": found.labels,
                    "precision": found.precision,
                    "validation_pairs": found.pairs,
                    "threshold": found.threshold if found.pairs else None,
                    "epochs_without": self.taught[name].epochs,
                    "best_without": self.taught[name].best,
                }
                for name, found in self.confidence.items()
            },
        }

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> FitLog:
        """Return the log that :meth:`to_dict` wrote; values after each validation are not kept."""
        models, labelled = found.get("models", {}), found.get("pseudo_labels", {})
        return FitLog(
            dict(found.get("fit_seconds", {})),
            {name: Fitted(f["epochs"], f["trained"], f["best"], []) for name, f in models.items()},
            dict(found.get("values_encoded", {})),
            list(found.get("resumed", [])),
            [Skipped(**one) for one in found.get("skipped", [])],
            {
                name: Fitted(one["epochs_without"], one["epochs_without"], one["best_without"], [])
                for name, one in labelled.items()
            },
            {
                name: Confidence(
                    float("inf") if one["threshold"] is None else one["threshold"],
                    one["precision"],
                    one["validation_pairs"],
                    one["labels"],
                )
                for name, one in labelled.items()
            },
        )


class Fitter:
    """Fits the parts of a pipeline.

    Args:
        config: The pipeline.
        parts: Built, unfitted components.
        dataset: The data.
        split: Its parts.
        cache: Frozen encodings.
        directory: Checkpoints.
        progress: Show the trainer's bars.
        tell: Told (what, steps done, of) about encoding and closed forms.
        resume: Continue interrupted training.
        dry_run: One epoch.
        initial: Weights to start from, by model; those of another shape are left out.
        lines: The run's log.
    """

    def __init__(
        self,
        config: PipelineConfig,
        parts: Parts,
        dataset: Dataset,
        split: SplitResult,
        cache: EmbeddingCache | None,
        directory: Path,
        *,
        progress: bool = True,
        tell: Tell | None = None,
        resume: bool = True,
        dry_run: bool = False,
        initial: Mapping[str, Mapping[str, Tensor]] | None = None,
        lines: RunLog | None = None,
    ) -> None:
        self.config = config
        self.parts = parts
        self.dataset = dataset
        self.split = split
        self.cache = cache
        self.directory = directory
        self.progress = progress
        self.tell = tell
        self.resume = resume
        self.dry_run = dry_run
        self.initial = initial or {}
        self.lines = lines
        self.log = FitLog()

    def fit(self) -> FitLog:
        """Prepare, fit closed forms, train, calibrate; then refit where the split says so."""
        train = train_data(self.dataset, self.split.train, self.config.seed)
        self._once(train, self.split.validation, epochs=None)
        self._calibrate()
        if self.split.refit is not None:
            whole = train_data(self.dataset, self.split.refit, self.config.seed)
            self._once(whole, None, epochs={n: f.epochs for n, f in self.log.fitted.items()})
        return self.log

    def _once(
        self, train: TrainData, validation: Phase | None, epochs: Mapping[str, int] | None
    ) -> None:
        for name, model_config in self.config.models.items():
            with self._timed(name):
                self._model(name, model_config, train, validation, (epochs or {}).get(name))
        for key, component in self.parts.outside():
            # a composite's parts are fitted, each once, and it is calibrated
            if key not in self.parts.composites and any(hasattr(component, m) for m in _LEARNING):
                with self._timed(key, f"fit {key.rpartition('-')[0] or key}"):  # without its digest
                    _learn(component, train)

    def _model(
        self,
        name: str,
        config: ModelConfig,
        train: TrainData,
        validation: Phase | None,
        epochs: int | None,
    ) -> None:
        torch.manual_seed(self.config.seed)
        model, table = self.parts.models[name], self.parts.tables[name]
        for _, component in self.parts.inside(name):
            _learn(component, train)
        own = model.state_dict()
        fitting = {
            key: tensor
            for key, tensor in self.initial.get(name, {}).items()
            if key in own and own[key].shape == tensor.shape
        }
        model.load_state_dict(fitting, strict=False)
        device = encoding_device(self.config.trainer)
        asking = self.parts.query_fields
        encoded = table.load(self.dataset.items, self.cache, self.tell, device)
        encoded += asking.load(self.dataset.users, self.cache, self.tell, device)
        self.log.encoded[name] = self.log.encoded.get(name, 0) + encoded
        self._report([*table.skipped, *asking.skipped])
        rows = train.universe.nonzero()[:, 0]
        for key, encoder in model.items.encoders.items():
            if hasattr(encoder, "fit_features"):
                encoder.fit_features(table.features[key].select(rows))
        if model.tasks:
            self.log.fitted[name] = self._taught(name, config, train, validation, epochs)
        table.refresh()

    def _report(self, skipped: list[Skipped]) -> None:
        """Note what could not be read, once, however many models read it."""
        known = set(self.log.skipped)
        for one in dict.fromkeys(skipped):
            if one not in known:
                self.log.skipped.append(one)
                if self.lines is not None:
                    self.lines("skipped", asdict(one))

    def _taught(
        self,
        name: str,
        config: ModelConfig,
        train: TrainData,
        validation: Phase | None,
        epochs: int | None,
    ) -> Fitted:
        """Train a model; with pseudo-labels, train it, ask it, and train it anew."""
        settings = config.training.pseudo_labels
        phase = "refit" if validation is None else "fit"
        if settings is None:
            fitted = self._train(name, config, train, validation, epochs, phase)
            return _chosen_by(fitted, epochs, self.log.fitted.get(name))
        model, table = self.parts.models[name], self.parts.tables[name]
        fresh = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        alone = None if epochs is None else self.log.taught[name].epochs
        teacher = self._train(name, config, train, validation, alone, f"{phase}-teacher")
        self.log.taught[name] = _chosen_by(teacher, epochs, self.log.taught.get(name))
        table.refresh()
        handle, size = ModelHandle(model, table), self.config.evaluation.block_size
        if validation is not None:
            queries = PhaseQueries(self.dataset, validation, self.parts.query_fields)
            self.log.confidence[name] = confidence_of(handle, queries, settings, size)
        found = self.log.confidence[name]
        labels = label(handle, train, self.parts.query_fields, settings, found, size)
        self.log.confidence[name] = replace(found, labels=len(labels))
        if self.lines is not None:
            self.lines("pseudo_labels", {"model": name, "phase": phase, "labels": len(labels)})
        model.load_state_dict(fresh)
        fitted = self._train(name, config, train, validation, epochs, phase, labels)
        return _chosen_by(fitted, epochs, self.log.fitted.get(name))

    def _train(
        self,
        name: str,
        config: ModelConfig,
        train: TrainData,
        validation: Phase | None,
        epochs: int | None,
        phase: str,
        labels: Interactions | None = None,
    ) -> Fitted:
        model, table = self.parts.models[name], self.parts.tables[name]
        settings = config.training
        if self.dry_run:
            epochs = 1
        validate = None
        if validation is not None and len(validation.targets):
            queries = PhaseQueries(self.dataset, validation, self.parts.query_fields)
            handle, size = ModelHandle(model, table), self.config.evaluation.block_size
            validate = Validator(handle, queries, settings, self.parts.watched[name], size)
        feed = self._feed(name, config, train, labels)
        batches = Batches(feed, settings.batch_size, self.config.seed)
        directory = self.directory / phase / name
        if self.resume and (directory / "last.ckpt").exists() and name not in self.log.resumed:
            self.log.resumed.append(name)
        universe = train.universe.clone()
        if labels is not None:
            universe[labels.items] = True
        return run(
            model,
            ModelLoss(model, table, universe),
            batches,
            settings,
            self.config.trainer,
            directory,
            validate=validate,
            seed=self.config.seed,
            progress=self.progress,
            resume=self.resume,
            epochs=epochs,
            on_epoch=self._log_of(name, phase),
        )

    def _log_of(self, name: str, phase: str) -> OnEpoch | None:
        return None if self.lines is None else partial(self.lines, "epoch", model=name, phase=phase)

    def _feed(
        self, name: str, config: ModelConfig, train: TrainData, labels: Interactions | None
    ) -> Feed:
        model = self.parts.models[name]
        rated = any(task.objective.target == "rating" for task in model.tasks)
        rule = self.history_rule(rated)
        labelled = config.training.pseudo_labels is not None
        if labelled and rated:
            raise ConfigError(
                f"models.{name}.training.pseudo_labels: they are further positives, and {name!r} "
                "learns from ratings. Leave them out, or use an objective on positives."
            )
        # Labels are nobody's next event, so a causal model is then trained on pairs as well.
        if model.causal and rule == "before" and not rated and not labelled:
            encoders = [model.queries.encoders[key] for key in model.history]
            lengths = [n for e in encoders if (n := getattr(e, "max_length", None))]
            return SequenceFeed(train, self.parts.query_fields, min(lengths, default=None))
        return PairFeed(train, self.parts.query_fields, rule, rated, labels)

    def history_rule(self, rated: bool) -> HistoryRule:
        """``data.history``, or its default: the split's own, ``others`` for ratings."""
        chosen = self.config.data.history
        if chosen is not None:
            return chosen
        return "others" if rated else self.split.history_rule

    def _calibrate(self) -> None:
        phase = self.split.validation
        if not len(phase.targets):
            return
        queries = PhaseQueries(self.dataset, phase, self.parts.query_fields)
        # whatever has children calibrates them itself
        inner = {id(one) for c in self.parts.composites.values() for one in c.children}
        for key, component in self.parts.outside():
            if hasattr(component, "calibrate") and id(component) not in inner:
                size = self.config.evaluation.block_size
                with self._timed(key, f"calibrate {key.rpartition('-')[0] or key}"):
                    component.calibrate(queries.validation(size, self.config.seed))

    @contextmanager
    def _timed(self, key: str, what: str | None = None) -> Iterator[None]:
        """Add the seconds to the log (a refit adds to the first fit); ``what`` gets a bar."""
        started = time.perf_counter()
        if self.tell is not None and what is not None:
            self.tell(what, 0, 1)
        yield
        spent = time.perf_counter() - started
        self.log.seconds[key] = self.log.seconds.get(key, 0.0) + spent
        if self.tell is not None and what is not None:
            self.tell(what, 1, 1)


def _chosen_by(fitted: Fitted, epochs: int | None, before: Fitted | None) -> Fitted:
    """Return a refit with what its epochs were chosen by; a first fit as it is."""
    if epochs is None or before is None:
        return fitted
    return replace(fitted, best=before.best, history=before.history)


#: What comes before training by gradients, in this order.
_LEARNING = ("load", "prepare", "fit")


def _learn(component: Any, train: TrainData) -> None:
    for method in _LEARNING:
        if hasattr(component, method):
            given = () if method == "load" else (train,)
            getattr(component, method)(*given)
