"""Encoders of text, and the reuse of an item encoder on the query side."""
