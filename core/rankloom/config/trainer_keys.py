"""Keys of ``trainer:``, known without importing Lightning; a test holds them to its Trainer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rankloom.errors import did_you_mean

__all__ = ["OWN", "TRAINER_KEYS", "check_trainer_keys"]

#: Rankloom's own business.
OWN = frozenset({"max_epochs", "callbacks", "logger", "default_root_dir", "enable_checkpointing"})

#: What ``lightning.Trainer`` takes.
TRAINER_KEYS = frozenset(
    {
        "accelerator",
        "accumulate_grad_batches",
        "barebones",
        "benchmark",
        "callbacks",
        "check_val_every_n_epoch",
        "default_root_dir",
        "detect_anomaly",
        "deterministic",
        "devices",
        "enable_autolog_hparams",
        "enable_checkpointing",
        "enable_model_summary",
        "enable_progress_bar",
        "fast_dev_run",
        "gradient_clip_algorithm",
        "gradient_clip_val",
        "inference_mode",
        "limit_predict_batches",
        "limit_test_batches",
        "limit_train_batches",
        "limit_val_batches",
        "log_every_n_steps",
        "logger",
        "max_epochs",
        "max_steps",
        "max_time",
        "min_epochs",
        "min_steps",
        "model_registry",
        "num_nodes",
        "num_sanity_val_steps",
        "overfit_batches",
        "plugins",
        "precision",
        "profiler",
        "reload_dataloaders_every_n_epochs",
        "strategy",
        "sync_batchnorm",
        "use_distributed_sampler",
        "val_check_interval",
    }
)


def check_trainer_keys(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each key that cannot stand under ``trainer:``, with the reason."""
    for key in keys:
        if key in OWN:
            yield key, "set by Rankloom itself (epochs stand under models.*.training)."
        elif key not in TRAINER_KEYS:
            hint = did_you_mean(key, TRAINER_KEYS - OWN)
            yield key, f"lightning.Trainer has no such option.{hint}"
