"""The one LightningModule, its feeds, and ``run``."""
