"""Reproducible 4x super-resolution GAN: ingest, materialize, train, evaluate, register."""

import os

__version__ = "0.2.0"

# Read once, when TensorFlow is imported. Its greetings and its search for GPU libraries are logged down to
# level ERROR; what really fails comes as a Python exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
