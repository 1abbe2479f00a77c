"""Benchmarks are run by hand, so that a name which moved would show only then."""

import importlib

import pytest

from tests.conftest import REPOSITORY

MODULES = sorted(file.stem for file in (REPOSITORY / "benchmarks").glob("*.py") if file.stem != "__init__")


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_imported(name):
    importlib.import_module(f"benchmarks.{name}")
