"""Which compute type this machine is good at."""

import tensorflow as tf

from sr_pipeline.processor import computes_bfloat16


def resolve_precision(precision: str) -> str:
    """Turn ``auto`` into ``bfloat16`` where the processor or GPU computes in it natively, else ``float32``."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return "bfloat16" if capability >= (8, 0) else "float32"
    return "bfloat16" if computes_bfloat16() else "float32"


def dtype_policy(precision: str) -> str:
    """Keras' name of the policy that computes in ``precision`` and keeps weights in float32."""
    return "float32" if precision == "float32" else f"mixed_{precision}"
