"""Ranking metrics: how a list of shown items is judged."""
