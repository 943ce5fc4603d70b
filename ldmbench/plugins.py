"""Code of your own, run: imported from its own file, made, called, its errors in one sentence."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError, LdmbenchError, is_out_of_memory
from ldmbench.plugin_files import (
    Noun,
    Point,
    beside,
    files_beside,
    imports_of,
    is_free,
    locate,
    origin_of,
    points,
    target_of,
)

__all__ = ["calling", "checked", "make"]


def make(name: str, folder: Path, options: Mapping[str, object], noun: Noun) -> Any:
    """Import a target and return it: a class is made with `options`, a function is given them.

    Raises:
        InputError: the import or the class failed.
    """
    target = target_of(name, noun)
    module, _, attribute = target.partition(":")
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # leave no caches of theirs

    def made() -> Any:
        found: Any = _imported(module, folder)
        for part in attribute.split("."):
            found = getattr(found, part)
        if isinstance(found, type):
            return found(**options)
        return functools.partial(found, **options) if options else found

    try:
        return calling(f"{target} cannot be made", made)
    finally:
        sys.dont_write_bytecode = kept


def _imported(module: str, folder: Path) -> object:
    """Import a module, from its own file where it lies beside the suite file.

    Its neighbours are found last: a name that Python or an installed package has means that one.
    """
    file = beside(module, folder)
    if file is None:
        return importlib.import_module(module)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    top, dot, below = module.partition(".")
    first = file if not dot else beside(top, folder)
    if first is None:  # a folder without __init__.py
        return importlib.import_module(module)
    name = top if is_free(top, first) else f"beside_{top}"
    try:
        if name not in sys.modules or origin_of(sys.modules[name]) != first:
            _load(name, first)
        return importlib.import_module(name + dot + below)
    except (ImportError, AttributeError) as error:
        taken = sorted(
            n for n in imports_of(file) if beside(n, folder) and not files_beside(n, folder)
        )
        if not taken:
            raise
        raise ImportError(
            f"{error}; '{taken[0]}' is the installed module, not the one beside the suite file:"
            " give that another name"
        ) from error


def _load(name: str, file: Path) -> None:
    """Execute a file as a module of this name."""
    below = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=below)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = made = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[name]
        raise


def calling(what: str, function: Callable[[], object]) -> Any:
    """Call code of a user's own; whatever it raises becomes one sentence that begins with `what`.

    Raises:
        InputError: it raised something, or tried to end the process.
    """
    try:
        return function()
    except (LdmbenchError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):  # who called knows what to do
            raise
        said = " ".join(str(error).split()) or "no message"
        raise InputError(f"{what}: {type(error).__name__}: {said}{_where(error)}") from error


def checked(noun: Noun, folder: Path) -> Iterator[tuple[Point, str | None]]:
    """Yield every installed entry point and what is wrong with it, or None."""
    for point in points(noun).values():
        try:
            locate(point.target, folder, noun)
        except InputError as error:
            yield point, str(error)
        else:
            yield point, None


def _where(error: BaseException) -> str:
    """Return ' (file:line)' of the innermost frame that is not this file's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    named = [f for f in frames if not f.filename.startswith("<")]
    return f" ({Path(named[-1].filename).name}:{named[-1].lineno})" if named else ""
