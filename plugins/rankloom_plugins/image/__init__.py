"""Encoders of pictures, and of texts that are compared with pictures."""
