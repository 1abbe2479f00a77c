import os

import pytest

from sr_pipeline import processor
from sr_pipeline.processor import computes_bfloat16, processor_kind, processor_name, usable_cores

SAPPHIRE_RAPIDS = "fpu avx2 avx512f avx512_bf16 amx_bf16"


@pytest.fixture
def processor_with(monkeypatch):
    """Pretends to run on an x86-64 processor with those flags."""

    def pretend(flags, limit=None):
        monkeypatch.setattr(processor, "_cpuinfo", lambda field: {"flags": flags, "model name": "Some CPU"}[field])
        monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")
        monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
        if limit:
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)

    return pretend


@pytest.mark.parametrize(
    ("flags", "limit", "kind", "bfloat16"),
    [
        (SAPPHIRE_RAPIDS, None, "x86_64 with AMX", True),
        (SAPPHIRE_RAPIDS, "ALL", "x86_64 with AMX", True),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_BF16", "x86_64 with AVX512_BF16", True),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_FP16", "x86_64 with AVX512_BF16", True),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_VNNI", "x86_64 with AVX-512", False),
        (SAPPHIRE_RAPIDS, "avx2", "x86_64 with AVX2", False),
        ("fpu avx2 avx512f avx512_bf16", None, "x86_64 with AVX512_BF16", True),
        ("fpu avx2", None, "x86_64 with AVX2", False),
        ("fpu sse2", None, "x86_64", False),
    ],
)
def test_kinds(processor_with, flags, limit, kind, bfloat16):
    processor_with(flags, limit)
    assert processor_kind() == kind
    assert computes_bfloat16() is bfloat16


def test_without_proc_cpuinfo(monkeypatch):
    """As on macOS."""
    monkeypatch.setattr(processor.Path, "is_file", lambda path: False)
    monkeypatch.setattr(processor.platform, "machine", lambda: "arm64")
    assert processor_name() == processor_kind() == "arm64"
    assert not computes_bfloat16()


def test_cores_where_the_system_does_not_say_which(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == os.cpu_count()
