import pytest

from sr_pipeline import code_identity
from sr_pipeline.code_identity import code_sha256, imported_modules

ENTRY = '''
"""What it is for."""
from typing import TYPE_CHECKING

from sr_pipeline.errors import UserError
from sr_pipeline.part import LIMIT, inner
from sr_pipeline.folder import alone
from sr_pipeline import other, __version__

if TYPE_CHECKING:
    from sr_pipeline.words import Text


def scaled(value: float, factor: int = 2) -> float:
    """Larger."""
    from sr_pipeline.late import offset  # slow to import

    return value * factor + offset(LIMIT)
'''
OTHERS = {
    "errors": "class UserError(Exception): pass\n",
    "other": "VALUE = 1\n",
    "late": "def offset(limit): return limit\n",
    "unused": "VALUE = 2\n",
    "words": "Text = str\n",
    "part/__init__": "LIMIT = 3\n",
    "part/inner": "VALUE = 4\n",
    "part/outer": "VALUE = 5\n",
    "folder/__init__": "VALUE = 6\n",
    "folder/alone": "VALUE = 7\n",
    "__init__": "__version__ = '1'\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes a package of some modules, of which some are changed, and points the hash at it."""

    def write(**changes):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in ({"entry": ENTRY} | OTHERS | changes).items():
            file = folder / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        monkeypatch.setattr(code_identity, "_ROOT", folder)
        return code_sha256("sr_pipeline.entry")

    return write


def test_the_closure_of_imports(package):
    """Late ones too; not those for annotations, nor modules that only report errors, nor the version; of a package
    whose module is imported, that module alone.
    """
    package()
    names = [name.removeprefix("sr_pipeline.") for name in imported_modules("sr_pipeline.entry")]
    assert names == ["entry", "folder.alone", "late", "other", "part", "part.inner"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # slow to import", ""),
        ('"""What it is for."""', '"""What it does,\n\nin more words."""'),
        ('    """Larger."""\n', ""),
        ("value: float, factor: int = 2) -> float", "value, factor=2)"),
        ("value * factor + offset(LIMIT)", "(\n        value * factor\n    ) + offset(LIMIT)"),
    ],
)
def test_words_and_layout_do_not_count(package, old, new):
    assert old in ENTRY
    assert package(entry=ENTRY.replace(old, new)) == package()


@pytest.mark.parametrize(
    "change",
    [
        {"entry": ENTRY.replace("value * factor", "value / factor")},
        {"entry": ENTRY.replace("factor: int = 2", "factor: int = 3")},
        {"late": "def offset(limit): return limit + 1\n"},
        {"part/__init__": "LIMIT = 30\n"},
        {"part/inner": "VALUE = 40\n"},
    ],
)
def test_what_computes_something_else_counts(package, change):
    assert package(**change) != package()


@pytest.mark.parametrize("name", ["errors", "unused", "words", "part/outer", "folder/__init__", "__init__"])
def test_modules_without_part_in_the_result_do_not_count(package, name):
    assert package(**{name: "VALUE = 6\n"}) == package()


def test_of_this_project():
    """A training rests on networks, losses and input, not on what tracks it or serves it."""
    modules = imported_modules("sr_pipeline.pipelines.train.nodes")
    assert {"sr_pipeline.networks.generator", "sr_pipeline.training.steps", "sr_pipeline.crops.shards"} <= set(modules)
    assert not [name for name in modules if name.startswith(("sr_pipeline.tracking", "sr_pipeline.serving"))]
    assert all(file.is_file() for file in modules.values())
