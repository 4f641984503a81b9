"""Artifacts of dermoscopic images, those of which ISIC 2018 task 1 has flags drawn by hand."""

__all__ = ["ARTIFACTS"]

ARTIFACTS = ("dark_corner", "hair", "gel_border", "gel_bubble", "ruler", "ink", "patches")
"""What an image may show beside skin and lesion, in the order of every table."""
