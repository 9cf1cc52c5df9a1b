"""Scored candidates to slates."""
