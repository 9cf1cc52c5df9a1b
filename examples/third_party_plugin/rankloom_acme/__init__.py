"""An encoder and a scorer for Rankloom."""
