"""Encoders of ids, categories and numbers."""
