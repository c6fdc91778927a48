"""A stamp of the code that a stage runs, so that editing the library reruns the stages that use it, and only those.

Snakemake does not see imports. The stamp hashes the syntax trees of a module and of all modules of this package that it imports,
directly or not (comments, docstrings and layout do not count), the files beside them in `data` that they name, and the versions of
the libraries that do their arithmetic.
"""

from __future__ import annotations

import ast
import platform
import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from flexpose_core.files import digest

_ROOT = Path(__file__).parent
_PACKAGE = __package__ or "flexpose_core"
_DISTRIBUTION = "flexpose"
_LIBRARIES = {
    "cv2": "opencv-python-headless",
    "numpy": "numpy",
    "ot": "pot",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
}
"""Those that do the arithmetic: what they are imported as, and what they are installed as."""


@cache
def code_stamp(module: str) -> str:
    """Return the stamp of a module given by its full name, such as "flexpose_core.stages.adapt"."""
    modules = {name: _read(name) for name in sorted(imported_modules(module))}
    trees = [f"{name} {read.fingerprint}".encode() for name, read in modules.items()]
    used = {library for read in modules.values() for library in read.libraries}
    versions = [f"{library}=={metadata.version(library)}".encode() for library in sorted(used)]
    arrays = [path.read_bytes() for read in modules.values() for path in read.data]
    return digest(*trees, *versions, *arrays)


@cache
def imported_modules(module: str) -> frozenset[str]:
    """Return the module and all modules of this package that it imports, wherever the import stands."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [other for other in _read(name).imports if _path(other) is not None]
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
    return versions | {library: metadata.version(library) for library in sorted({*asked, *_LIBRARIES.values()})}


@dataclass(frozen=True)
class _Module:
    """What a module's result depends on.

    Parameters
    ----------
    imports
        What it imports of this package, as far as its name tells.
    libraries
        Those it imports of `_LIBRARIES`, as they are installed.
    data
        Files in the folder `data` beside it that it names.
    fingerprint
        A hash of its syntax tree without statements that are bare strings.
    """

    imports: frozenset[str]
    libraries: frozenset[str]
    data: tuple[Path, ...]
    fingerprint: str


@cache
def _read(module: str) -> _Module:
    path = _path(module)
    if path is None:
        raise ModuleNotFoundError(module)
    tree, names, texts = ast.parse(path.read_text(encoding="utf-8")), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name` may name a module or something inside one.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return _Module(
        imports=frozenset(name for name in names if name.startswith(_PACKAGE)),
        libraries=frozenset(_LIBRARIES[top] for name in names if (top := name.partition(".")[0]) in _LIBRARIES),
        data=tuple(held for held in sorted(path.parent.glob("data/*")) if held.name in texts),
        fingerprint=digest(ast.dump(tree).encode()),
    )


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def _path(module: str) -> Path | None:
    base = _ROOT.joinpath(*module.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None
