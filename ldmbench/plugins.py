"""Code of your own: found by module:name or entry point, known by its source, made, called."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ldmbench.errors import InputError, LdmbenchError
from ldmbench.registry import nearest

__all__ = [
    "GROUPS",
    "Arguments",
    "Noun",
    "Point",
    "arguments",
    "calling",
    "checked",
    "locate",
    "make",
    "points",
    "sources",
    "target_of",
]

Noun = Literal["models", "datasets", "metrics", "extractors"]
GROUPS: dict[Noun, str] = {
    "models": "ldmbench.models",
    "datasets": "ldmbench.datasets",
    "metrics": "ldmbench.metrics",
    "extractors": "ldmbench.extractors",
}
"""The groups of entry points whose names stand for a target."""


class Point(NamedTuple):
    """An entry point: its name, its module:name, and the distribution it comes from."""

    name: str
    target: str
    origin: str


def points(noun: Noun) -> dict[str, Point]:
    """Return the installed entry points of a group by name.

    Raises:
        InputError: two distributions give one name to different things.
    """
    found: dict[str, Point] = {}
    for entry in metadata.entry_points(group=GROUPS[noun]):
        dist = getattr(entry, "dist", None)
        origin = f"{dist.name} {dist.version}" if dist else "an installed package"
        point = Point(entry.name, entry.value, origin)
        before = found.setdefault(entry.name, point)
        if before.target != point.target:
            raise InputError(
                f"'{entry.name}' of group {GROUPS[noun]} is {before.target} in {before.origin} and"
                f" {point.target} in {point.origin}; uninstall one of them"
            )
    return found


def target_of(name: str, noun: Noun) -> str:
    """Return module:name, of an entry point where only its name is given.

    Raises:
        InputError: no entry point has this name.
    """
    if ":" in name:
        return name
    found = points(noun)
    if name not in found:
        raise InputError(
            f"found '{name}'{nearest(name, found)}; allowed: module:name, or an entry point of"
            f" group {GROUPS[noun]}: {', '.join(sorted(found)) or 'none is installed'}"
        )
    return found[name].target


def locate(name: str, folder: Path, noun: Noun) -> Path:
    """Return the file of a target's module, importing nothing of it.

    Args:
        name: module:name, or an entry point.
        folder: searched first; that of the suite file.
        noun: what it is to be.

    Raises:
        InputError: there is no such module, or it defines no such name.
    """
    module, _, attribute = target_of(name, noun).partition(":")
    if not module or not attribute:
        raise InputError(f"found '{name}'; allowed: module:name, such as mine:Sampler")
    file = _module(module, folder)
    if file is None:
        raise InputError(
            f"found '{name}', but there is no module '{module}' in {folder} and none is"
            " installed; allowed: module:name"
        )
    if file.suffix == ".py":
        _check_defined(file, attribute.split(".")[0], name)
    return file


def sources(name: str, folder: Path, noun: Noun) -> dict[str, Path]:
    """Return the Python files that a target is made of, by a name that tells no place.

    A module in a package: all files of the package. A module beside the suite file: its own, and
    those of the modules beside the suite file that it imports, and that these import. Beside
    these, the files that the module names in a constant FILES, a list of paths from its folder.
    """
    file = locate(name, folder, noun)
    return _modules(file, name, folder, noun) | _named_files(file, name)


def _modules(file: Path, name: str, folder: Path, noun: Noun) -> dict[str, Path]:
    top = target_of(name, noun).partition(":")[0].split(".")[0]
    package = next(
        (p for p in file.parents if p.name == top and (p / "__init__.py").is_file()), None
    )
    if package is not None:
        return _files(package)
    found = {file.name: file}
    if file.parent == folder:
        todo = [file]
        while todo:
            for module in _imports(todo.pop()):
                for title, other in _beside_files(module, folder).items():
                    if title not in found:
                        found[title] = other
                        todo.append(other)
    return found


class Arguments(NamedTuple):
    """The names of a function's arguments, and of those without a default."""

    all: tuple[str, ...]
    required: tuple[str, ...]


def arguments(name: str, folder: Path, noun: Noun) -> Arguments:
    """Return the arguments of a function, or of a class's `__call__`, read from the source.

    Raises:
        InputError: there is no such code, or it is not written with def in its module.
    """
    file = locate(name, folder, noun)
    wanted = target_of(name, noun).partition(":")[2]
    body: Any = _tree(file, name).body if file.suffix == ".py" else []
    found = next((node for node in body if getattr(node, "name", None) == wanted), None)
    if isinstance(found, ast.ClassDef):
        methods = (node for node in found.body if getattr(node, "name", None) == "__call__")
        found = next(methods, None)
    if not isinstance(found, ast.FunctionDef):
        raise InputError(
            f"found '{name}', whose arguments cannot be read in {file}; allowed: a function, or a"
            " class with `__call__`, that is written there with def"
        )
    told = found.args
    plain = [a.arg for a in (*told.posonlyargs, *told.args)]
    needed = plain[: len(plain) - len(told.defaults)]
    keyed = [a.arg for a in told.kwonlyargs]
    needed += [a for a, value in zip(keyed, told.kw_defaults, strict=True) if value is None]
    known = [a for a in (*plain, *keyed) if a != "self"]
    return Arguments(tuple(known), tuple(a for a in needed if a != "self"))


def make(name: str, folder: Path, options: Mapping[str, Any], noun: Noun) -> Any:
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


def _imported(module: str, folder: Path) -> Any:
    """Import a module, from its own file where it lies beside the suite file.

    Its neighbours are found last: a name that Python or an installed package has means that one.
    """
    file = _beside(module, folder)
    if file is None:
        return importlib.import_module(module)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    top, dot, below = module.partition(".")
    first = file if not dot else _beside(top, folder)
    if first is None:  # a folder without __init__.py
        return importlib.import_module(module)
    name = top if _is_free(top, first) else f"beside_{top}"
    try:
        if name not in sys.modules or _origin(sys.modules[name]) != first:
            _load(name, first)
        return importlib.import_module(name + dot + below)
    except (ImportError, AttributeError) as error:
        taken = sorted(
            n for n in _imports(file) if _beside(n, folder) and not _beside_files(n, folder)
        )
        if not taken:
            raise
        raise ImportError(
            f"{error}; '{taken[0]}' is the installed module, not the one beside the suite file:"
            " give that another name"
        ) from error


def _is_free(name: str, file: Path) -> bool:
    """Tell whether a name of a module means this file, or nothing else."""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return False
    if name in sys.modules:
        return _origin(sys.modules[name]) == file
    spec = importlib.util.find_spec(name)
    return spec is None or spec.origin is None or Path(spec.origin).resolve() == file.resolve()


def _origin(module: Any) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file) if file else None


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


def calling(what: str, function: Callable[[], Any]) -> Any:
    """Call code of a user's own; whatever it raises becomes one sentence that begins with `what`.

    Raises:
        InputError: it raised something, or tried to end the process.
    """
    try:
        return function()
    except (LdmbenchError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if type(error).__name__ == "OutOfMemoryError":  # a device's; who called knows what to do
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


def _module(module: str, folder: Path) -> Path | None:
    """Return the file of a module, beside the suite file or installed."""
    return _beside(module, folder) or _installed(module)


def _beside(module: str, folder: Path) -> Path | None:
    path = folder.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _installed(module: str) -> Path | None:
    """Return the file of an installed module; its packages are walked, not imported."""
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin)
    if not below:
        return place
    return _beside(".".join(below), place.parent) if spec.submodule_search_locations else None


def _files(package: Path) -> dict[str, Path]:
    return {f.relative_to(package.parent).as_posix(): f for f in sorted(package.rglob("*.py"))}


def _beside_files(module: str, folder: Path) -> dict[str, Path]:
    """Return the files of a module beside the suite file, if an import of its name means it."""
    file = _beside(module, folder)
    if file is None or not _is_free(module, file):
        return {}
    return _files(file.parent) if file.name == "__init__.py" else {file.name: file}


def _named_files(file: Path, name: str) -> dict[str, Path]:
    """Return the files that a module says it reads, by FILES."""
    body = _tree(file, name).body if file.suffix == ".py" else []
    values = [n.value for n in body if isinstance(n, ast.Assign) and _is_files(n.targets)]
    try:
        named = [str(path) for value in values for path in ast.literal_eval(value)]
    except (ValueError, TypeError):
        raise InputError(f"found '{name}', but FILES in {file} is no list of paths") from None
    for path in named:
        if not (file.parent / path).is_file():
            raise InputError(f"found '{name}', but {file} names '{path}', which is not a file")
    return {f"FILES/{path}": file.parent / path for path in named}


def _is_files(targets: list[ast.expr]) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "FILES" for target in targets)


def _imports(file: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(_tree(file, file.name)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def _tree(source: Path, target: str) -> ast.Module:
    try:
        return ast.parse(source.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError, OSError) as error:
        raise InputError(f"found '{target}', but {source} is not Python: {error}") from error


def _check_defined(source: Path, name: str, target: str) -> None:
    names: set[str] = set()
    for node in ast.walk(_tree(source, target)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
    if name not in names and "*" not in names and "__getattr__" not in names:
        shown = ", ".join(sorted(n for n in names if not n.startswith("_"))[:12])
        raise InputError(
            f"found '{target}', but {source} defines no '{name}'{nearest(name, names)};"
            f" it defines: {shown or 'nothing'}"
        )
