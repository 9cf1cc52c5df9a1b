"""Closed-form models of who took what: popularity, EASE, Markov transitions."""
