"""Splits: how data is divided."""
