"""Queries to candidates out of the whole catalog."""
