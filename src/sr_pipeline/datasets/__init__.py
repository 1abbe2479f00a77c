"""Kedro datasets of this project. TensorFlow is imported when a model is loaded or saved, not before."""
