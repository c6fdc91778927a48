"""A stamp of the code that a stage runs, so that editing the library reruns the stages that use it, and only those.

Snakemake does not see imports. The stamp hashes the syntax trees of a module and of all modules of this package that it imports,
directly or not (comments, docstrings and layout do not count), and the versions of the libraries that do the arithmetic.
"""

from __future__ import annotations

import ast
import platform
import re
from functools import cache
from importlib import metadata
from pathlib import Path

from flexpose_core.files import digest

_ROOT = Path(__file__).parent
_PACKAGE = __package__ or "flexpose_core"
_DISTRIBUTION = "flexpose"
_LIBRARIES = ("numpy", "opencv-python-headless", "scipy", "torch")


@cache
def code_stamp(module: str) -> str:
    """Return the stamp of a module given by its full name, such as "flexpose_core.stages.adapt"."""
    trees = [f"{name} {_fingerprint(name)}".encode() for name in sorted(imported_modules(module))]
    versions = [f"{library}=={metadata.version(library)}".encode() for library in _LIBRARIES]
    return digest(*trees, *versions)


@cache
def imported_modules(module: str) -> frozenset[str]:
    """Return the module and all modules of this package that it imports, wherever the import stands."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in _imports(name) if _path(other) is not None]
    return frozenset(found)


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of Python, this package and all libraries that it asks for."""
    versions = {"python": platform.python_version()}
    try:
        stated = metadata.requires(_DISTRIBUTION) or []
        versions[_DISTRIBUTION] = metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        stated = []
    asked = [re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in stated if "extra ==" not in text]
    return versions | {library: metadata.version(library) for library in sorted({*asked, *_LIBRARIES})}


def _imports(module: str) -> frozenset[str]:
    return _read(module)[0]


def _fingerprint(module: str) -> str:
    """Return a hash of a module's syntax tree without statements that are bare strings."""
    return _read(module)[1]


@cache
def _read(module: str) -> tuple[frozenset[str], str]:
    """Return what a module imports of this package, as far as its name tells, and its fingerprint."""
    tree, names = _parse(module), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(_PACKAGE):
            # `from package import name` may name a module or something inside one.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith(_PACKAGE)}
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return frozenset(names), digest(ast.dump(tree).encode())


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _parse(module: str) -> ast.Module:
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(module)
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _path(module: str) -> Path | None:
    base = _ROOT.joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None
