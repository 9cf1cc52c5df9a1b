"""EfficientNet-Lite0 for Rankloom."""
