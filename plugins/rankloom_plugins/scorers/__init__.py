"""Scorers over towers, over a named model, and over other scorers."""
