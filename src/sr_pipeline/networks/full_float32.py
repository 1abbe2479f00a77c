"""Computing in float32 as it is on every processor: without TensorFloat-32."""

import threading
from contextlib import AbstractContextManager


class FullFloat32(AbstractContextManager[None]):
    """Switches TensorFloat-32 off while any thread is inside, and back to what it was when the last has left.

    TensorFlow multiplies float32 with 10 bits of mantissa on NVIDIA GPUs since Ampere unless told otherwise. A training
    may have that; what is measured would depend on the kind of GPU. The setting belongs to the whole process, so there
    is one instance: ``full_float32``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = True

    def __enter__(self) -> None:
        import tensorflow as tf

        with self._lock:
            if self._inside == 0:
                self._before = tf.config.experimental.tensor_float_32_execution_enabled()
                tf.config.experimental.enable_tensor_float_32_execution(False)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        import tensorflow as tf

        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                tf.config.experimental.enable_tensor_float_32_execution(self._before)


full_float32 = FullFloat32()
