"""What is imported is declared, by the part of the package that imports it; what is declared is used."""

import ast
import json
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions, requires

import numpy as np
import png
import pytest
import tifffile
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from sr_pipeline.installation import EXTRAS
from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = REPOSITORY / "src/sr_pipeline"

OTHER_EXTRAS = {
    "serving/app.py": "app",
    "serving/server.py": "app",
    "inference/engines/openvino_engine.py": "openvino",
    "evaluation/flip.py": "flip",
}
# Programs, plug-ins, and what other packages import or read.
NOT_IMPORTED = {
    "dvc",
    "kedro-datasets",
    "scikit-learn",
    *("ipykernel", "import-linter", "mypy", "pandas-stubs", "ruff"),
}
NOT_IMPORTED |= {"pytest-timeout", "pytest-xdist", "types-pyyaml", "types-requests", "mkdocs-material", "kedro-viz"}
NOT_IMPORTED |= {"build", "setuptools"}


def declared(*extras):
    """Names of the packages of the base and of extras."""
    listed = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {canonicalize_name(Requirement(line).name) for line in listed}


def imported(*files):
    """Top-level modules of other packages that files import, anywhere in them."""
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    names = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"sr_pipeline", "tests", "benchmarks"}


@cache
def installed():
    """Names of packages by the modules that they bring."""
    return packages_distributions()


def distributions(module):
    """The packages that bring a module: one, or several that share it."""
    brought = installed()
    assert module in brought, f"{module} is imported, and not installed"
    return {canonicalize_name(name) for name in brought[module]}


def undeclared(modules, *extras):
    """Modules that neither the base nor these extras bring."""
    return {module for module in modules if not distributions(module) & declared(*extras)}


def notebook_sources(folder):
    """The code of notebooks as files."""
    for notebook in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        file = folder / f"{notebook.stem}.py"
        file.write_text(code, encoding="utf-8")
        yield file


ENLARGE = """
import json, sys
from sr_pipeline.cli.main import cli
options = ["--engine", "onnx", "--match-histogram", "--json"]
try:
    cli(["upscale", sys.argv[1], "-o", sys.argv[2], *options], standalone_mode=False)
except SystemExit as end:
    assert not end.code
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The modules that enlarging loads, of pictures of each kind that is read in a way of its own."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 14, 4)).astype(np.uint8)
    pixels[:6, :, 3] = 0
    Image.fromarray(pixels).save(folder / "transparent.png")
    Image.fromarray(pixels[..., :3]).save(folder / "photograph.jpg")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "gray.tif")
    deep = pixels[..., :3].astype(np.uint16) * 257
    tifffile.imwrite(folder / "colour.tif", deep, photometric="rgb")
    with (folder / "colour.png").open("wb") as file:
        png.Writer(14, 12, greyscale=False, bitdepth=16).write(file, deep.reshape(12, -1).tolist())
    command = [sys.executable, "-c", ENLARGE, str(folder), str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "out").iterdir())) == 5, done.stdout
    return set(json.loads(done.stdout.splitlines()[-1]))


def name_of(file):
    """A module's name as Python has it."""
    parts = ["sr_pipeline", *file.relative_to(SOURCES).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_base_has_all_that_enlarging_may_import(loaded):
    """Those modules, wherever in them they import something."""
    files = [file for file in SOURCES.rglob("*.py") if name_of(file) in loaded]
    assert len(files) > 10
    assert undeclared(imported(*files)) == set()


def test_enlarging_loads_no_package_beside_the_base(loaded):
    """Nor what those of the base need themselves."""
    known, wanted = set(), declared()
    while wanted - known:
        known |= wanted
        lines = [Requirement(line) for name in known for line in requires(name) or []]
        wanted = {canonicalize_name(each.name) for each in lines if each.marker is None or each.marker.evaluate()}
    others = {name.partition(".")[0] for name in loaded} & installed().keys() - {"sr_pipeline", "_distutils_hack"}
    assert {module for module in others if not distributions(module) & known} == set()


@pytest.mark.parametrize("extra", ["app", "openvino", "flip"])
def test_small_extras_have_all_that_they_import(extra):
    files = [SOURCES / name for name, brings in OTHER_EXTRAS.items() if brings == extra and (SOURCES / name).is_file()]
    assert undeclared(imported(*files), extra) == set()


def test_the_pipeline_has_all_that_it_imports():
    files = [file for file in SOURCES.rglob("*.py") if file.relative_to(SOURCES).as_posix() not in OTHER_EXTRAS]
    assert undeclared(imported(*files), "pipeline") == set()


def test_tests_benchmarks_and_notebooks_have_all_that_they_import(tmp_path):
    files = [*(REPOSITORY / "tests").rglob("*.py"), *(REPOSITORY / "benchmarks").rglob("*.py")]
    used = imported(*files, *notebook_sources(tmp_path))
    assert undeclared(used, "pipeline", "app", "openvino", "flip", "dev") == set()


def test_what_is_declared_is_used(tmp_path):
    files = [file for folder in ("src", "tests", "benchmarks") for file in (REPOSITORY / folder).rglob("*.py")]
    used = {name for module in imported(*files, *notebook_sources(tmp_path)) for name in distributions(module)}
    assert declared("pipeline", "app", "dev", "docs", "viz") - used - NOT_IMPORTED == set()


def test_the_extra_that_a_missing_package_is_asked_from_has_it():
    for module, extra in EXTRAS.items():
        assert undeclared({module}) == {module}
        assert undeclared({module}, extra) == set()


@pytest.mark.parametrize(
    ("system", "machine", "trains"),
    [
        ("linux", "x86_64", True),
        ("linux", "aarch64", True),
        ("darwin", "arm64", True),
        ("darwin", "x86_64", False),
        ("win32", "AMD64", False),
    ],
)
def test_what_has_no_release_for_a_system_is_left_out_there(system, machine, trains):
    """Everything else stays, so that the same commands install there what there is."""
    environment = default_environment() | {"sys_platform": system, "platform_machine": machine}
    requirements = [Requirement(line) for line in PROJECT["optional-dependencies"]["pipeline"]]
    there = {each.name for each in requirements if each.marker is None or each.marker.evaluate(environment)}
    assert {each.name for each in requirements} - there == (
        set() if trains else {"array-record", "grain", "tensorflow"}
    )


def test_the_lock_is_of_these_dependencies_and_names_no_host():
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    lines = [line.rstrip(" \\") for line in lock.splitlines() if not line.startswith((" ", "#"))]
    pinned = [Requirement(line) for line in lines if line]
    assert all(len(each.specifier) == 1 and next(iter(each.specifier)).operator == "==" for each in pinned)
    assert lock.count("--hash=sha256:") >= len(pinned)
    extras = ("pipeline", "app", "openvino", "flip", "dev", "docs")
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    for wanted in map(Requirement, lines):
        found = [each for each in pinned if canonicalize_name(each.name) == canonicalize_name(wanted.name)]
        assert found, wanted
        assert all(wanted.specifier.contains(next(iter(each.specifier)).version) for each in found), wanted
