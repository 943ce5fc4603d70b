"""A sampler of your own: where its code lies, the digest of it, and the object itself; no torch."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest
from ldmbench.data.source_digest import file_digests
from ldmbench.errors import InputError
from ldmbench.registry import nearest

__all__ = ["GROUP", "call_digest", "locate", "make_sampler", "target_of"]

GROUP = "ldmbench.models"
"""The entry points whose names stand for a target."""


def target_of(name: str) -> str:
    """Return module:name, of an entry point where only its name is given.

    Raises:
        InputError: no entry point has this name.
    """
    if ":" in name:
        return name
    found = {point.name: point.value for point in metadata.entry_points(group=GROUP)}
    if name not in found:
        raise InputError(
            f"found '{name}'{nearest(name, found)}; allowed: module:name, or an entry point of"
            f" group {GROUP}: {', '.join(sorted(found)) or 'none is installed'}"
        )
    return found[name]


def locate(name: str, folder: Path) -> Path:
    """Return the file (or package folder) of a target's module, importing nothing of it.

    Args:
        name: module:name, or an entry point.
        folder: searched first; that of the suite file.

    Raises:
        InputError: there is no such module, or it defines no such name.
    """
    module, _, attribute = target_of(name).partition(":")
    place = _beside(module, folder) or _installed(module)
    if place is None:
        raise InputError(
            f"found '{name}', but there is no module '{module}' in {folder} and none is"
            " installed; allowed: module:name"
        )
    source = place / "__init__.py" if place.is_dir() else place
    if place.suffix == ".py":
        _check_defined(source, attribute.split(".")[0], name)
    return place


def call_digest(
    name: str, folder: Path, cache: Path | None = None, *, files: tuple[str, ...] = ()
) -> str:
    """Return the digest of a target's source (a package: all of it) and of further files."""
    place = locate(name, folder)
    root = place if place.is_dir() else place.parent
    sources = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    known = file_digests([*sources, *(folder / f for f in files)], cache)
    return digest(
        {
            "source": {p.relative_to(root).as_posix(): known[p] for p in sources},
            "files": {f: known[folder / f] for f in files},
        }
    )


def make_sampler(name: str, folder: Path, options: Mapping[str, Any]) -> Any:
    """Import a target and return what samples: an object with `sample`, or a function.

    A class is made with `options`.

    Raises:
        InputError: the import or the class failed, or the result cannot sample.
    """
    target = target_of(name)
    module, _, attribute = target.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        found = found(**options) if isinstance(found, type) else found
    except Exception as error:  # whatever a user's module raises
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{target} cannot be made: {said}") from error
    if not callable(getattr(found, "sample", found)):
        raise InputError(f"{target} is no function and has no method `sample`; see extending.md")
    return found


def _beside(module: str, folder: Path) -> Path | None:
    path = folder.joinpath(*module.split("."))
    if (path / "__init__.py").is_file():
        return path
    file = path.with_name(f"{path.name}.py")
    return file if file.is_file() else None


def _installed(module: str) -> Path | None:
    """Return where an installed module lies; its packages are walked, not imported."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin)
    if spec.submodule_search_locations and below:
        return _beside(".".join(below), place.parent)
    if below:
        return None
    return place.parent if spec.submodule_search_locations else place


def _check_defined(source: Path, name: str, target: str) -> None:
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError) as error:
        raise InputError(f"found '{target}', but {source} is not Python: {error}") from error
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
    if name not in names and "*" not in names:
        shown = ", ".join(sorted(n for n in names if not n.startswith("_"))[:12])
        raise InputError(
            f"found '{target}', but {source} defines no '{name}'{nearest(name, names)};"
            f" it defines: {shown}"
        )
