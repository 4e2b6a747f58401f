"""Codecs that turn images into bytes and back."""
