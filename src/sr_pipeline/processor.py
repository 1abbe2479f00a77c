"""The processor of this machine: its name, its kind, and how many cores a program may use.

Results are equal in bytes on the same kind of processor: oneDNN, which computes TensorFlow's convolutions, adds up in
another order with each instruction set. This module needs the standard library alone.
"""

import os
import platform
from pathlib import Path

# Widest first: oneDNN's name of the instruction set, its flag in Linux, and its usual name.
_INSTRUCTION_SETS = (
    ("AVX512_CORE_AMX", "amx_bf16", "AMX"),
    ("AVX512_CORE_FP16", "avx512_bf16", "AVX512_BF16"),
    ("AVX512_CORE_BF16", "avx512_bf16", "AVX512_BF16"),
    ("AVX512_CORE", "avx512f", "AVX-512"),
    ("AVX2", "avx2", "AVX2"),
)
_COMPUTES_BFLOAT16 = ("AMX", "AVX512_BF16")


def processor_name() -> str:
    """The processor's model name, or its architecture if the system does not say."""
    return _cpuinfo("model name") or platform.machine()


def processor_kind() -> str:
    """Architecture and widest instruction set, such as ``x86_64 with AVX2``, on which equal bytes depend.

    The environment variable ``ONEDNN_MAX_CPU_ISA`` limits it, as it limits oneDNN.
    """
    instructions = _instruction_set()
    return f"{platform.machine()} with {instructions}" if instructions else platform.machine()


def computes_bfloat16() -> bool:
    """Whether the processor computes in bfloat16, instead of emulating it."""
    return _instruction_set() in _COMPUTES_BFLOAT16


def usable_cores() -> int:
    """Cores that this process may use, or those of the machine if the system does not say (macOS, Windows)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _instruction_set() -> str:
    """The widest that the processor has and ``ONEDNN_MAX_CPU_ISA`` allows, by its usual name; empty if unknown."""
    flags = set(_cpuinfo("flags").split())
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    allowed = [name for name, _, _ in _INSTRUCTION_SETS]
    # Names between two of these, such as AVX512_CORE_VNNI, are those of the narrower one that they begin with.
    first = next((i for i, name in enumerate(allowed) if limit.startswith(name)), 0)
    return next((usual for _, flag, usual in _INSTRUCTION_SETS[first:] if flag in flags), "")


def _cpuinfo(field: str) -> str:
    """A field of the first processor in /proc/cpuinfo, empty if there is none."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return ""
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith(field))
    return next(lines, "").partition(":")[2].strip()
