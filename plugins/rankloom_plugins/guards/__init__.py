"""Rules over what may be shown."""
