"""The HTTP application and the decision store; the layer is reserved, nothing is in it yet."""
