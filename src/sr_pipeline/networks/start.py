"""The start of TensorFlow."""

import sys

from sr_pipeline.start_up import no_start_up_lines


def start_tensorflow() -> None:
    """Import TensorFlow and let it look for devices, if that has not been done."""
    if "tensorflow" not in sys.modules:
        with no_start_up_lines():
            import tensorflow as tf

            tf.config.list_physical_devices()
