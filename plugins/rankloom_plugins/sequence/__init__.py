"""Encoders of a query's history."""
