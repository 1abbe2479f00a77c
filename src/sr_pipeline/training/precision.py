"""Which compute type this machine is good at."""

import platform
from pathlib import Path

import tensorflow as tf


def resolve_precision(precision: str) -> str:
    """Turn ``auto`` into ``bfloat16`` where the processor or GPU computes in it natively, else ``float32``."""
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return "bfloat16" if capability >= (8, 0) else "float32"
    return "bfloat16" if _cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


def dtype_policy(precision: str) -> str:
    """Keras' name of the policy that computes in ``precision`` and keeps weights in float32."""
    return "float32" if precision == "float32" else f"mixed_{precision}"


def cpu_name() -> str:
    """The processor's model name, or its architecture where the system does not say."""
    return _cpuinfo("model name") or platform.machine()


def _cpu_flags() -> set[str]:
    """Instruction set extensions of the first processor; empty where the system has no /proc/cpuinfo."""
    return set(_cpuinfo("flags").split())


def _cpuinfo(field: str) -> str:
    """A field of the first processor in /proc/cpuinfo, empty if there is none."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return ""
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith(field))
    return next(lines, "").partition(":")[2].strip()
