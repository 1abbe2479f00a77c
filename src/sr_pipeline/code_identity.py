"""What code computes: the modules that one imports, and a hash of them that comments do not change.

Results rest on code as they do on data. Kept crops and checkpoints are taken up again only if the code that made them
computes the same, and DVC's stages name the code that they depend on. This module needs the standard library alone.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = "sr_pipeline"
_ROOT = Path(__file__).parent
_NO_RESULT = ("code_identity", "errors", "installation", "processes", "start_up", "tracking.messages", "tracking.run")
"""What reports, refuses or starts, and has no part in any result."""


def imported_modules(*modules: str) -> dict[str, Path]:
    """The files of modules of this package and of all that these import of it, at any depth and also late.

    Args:
        modules: full names, such as ``sr_pipeline.training.recipes``.

    Returns:
        Files by the names of their modules, sorted. Modules without part in any result, and what they alone import,
        are left out.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name.removeprefix(f"{_PACKAGE}.") not in _NO_RESULT:
            found[name] = _file_of(name)
            waiting += _imports_of(found[name])
    return dict(sorted(found.items()))


def code_sha256(*modules: str) -> str:
    """Hash of what ``imported_modules`` compute: of their syntax trees without docstrings, comments and annotations.

    Equal under one version of Python; another one may describe the same code by another tree.
    """
    digest = hashlib.sha256()
    for name, file in imported_modules(*modules).items():
        digest.update(f"{name} {_tree_of(file)}\n".encode())
    return digest.hexdigest()


def _file_of(module: str) -> Path:
    path = _ROOT.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _imports_of(file: Path) -> tuple[str, ...]:
    """Modules of this package that a file imports, except those that it needs for annotations alone."""
    return tuple(name for node in _running_nodes(ast.parse(file.read_bytes())) for name in _imported_by(node))


def _running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, except those under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from _running_nodes(child)


def _imported_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.startswith(f"{_PACKAGE}."))
    elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == _PACKAGE:
        modules = [f"{node.module}.{alias.name}" for alias in node.names]
        modules = [name for name in modules if _file_of(name).is_file()]
        yield from modules
        # Of the package itself only the version is imported, which changes with every release.
        if len(modules) < len(node.names) and node.module != _PACKAGE:
            yield node.module


@cache
def _tree_of(file: Path) -> str:
    return ast.dump(_WithoutWords().visit(ast.parse(file.read_bytes())))


class _WithoutWords(ast.NodeTransformer):
    """Removes what is for readers: docstrings and annotations; comments are not in the tree."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_text(statement)]  # type: ignore[attr-defined]
        for annotation in ("annotation", "returns"):
            if hasattr(node, annotation):
                setattr(node, annotation, None)
        return super().generic_visit(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
