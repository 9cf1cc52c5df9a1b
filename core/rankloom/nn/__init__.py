"""Public building blocks that plugins share: weights, pooling, encoding, transformer blocks."""
