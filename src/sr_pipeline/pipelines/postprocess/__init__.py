"""Histogram matching of a folder of pictures."""
