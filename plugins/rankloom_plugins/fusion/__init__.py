"""Fusions of several encodings into one vector."""
