"""Code of your own, found and read but never run: entry points, module files, arguments."""

from __future__ import annotations

import ast
import importlib.util
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ldmbench.errors import InputError
from ldmbench.registry import nearest

__all__ = [
    "GROUPS",
    "Arguments",
    "Noun",
    "Point",
    "arguments",
    "beside",
    "files_beside",
    "imports_of",
    "is_free",
    "locate",
    "methods",
    "origin_of",
    "points",
    "sources",
    "target_of",
]

STEP_UNITS = ("steps", "evaluations")
"""What a model's module may say that `steps` of a suite are."""
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

    A module in a package: all files of the package; one of ldmbench itself: its own file alone, as
    for what a suite names without code. A module beside the suite file: its own, and
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
    if package is not None and top != "ldmbench":
        return _files(package)
    found = {file.name: file}
    if file.parent == folder:
        todo = [file]
        while todo:
            for module in imports_of(todo.pop()):
                for title, other in files_beside(module, folder).items():
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
    signature = found.args
    plain = [a.arg for a in (*signature.posonlyargs, *signature.args)]
    needed = plain[: len(plain) - len(signature.defaults)]
    keyed = [a.arg for a in signature.kwonlyargs]
    needed += [a for a, value in zip(keyed, signature.kw_defaults, strict=True) if value is None]
    known = [a for a in (*plain, *keyed) if a != "self"]
    return Arguments(tuple(known), tuple(a for a in needed if a != "self"))


def methods(name: str, folder: Path, noun: Noun) -> frozenset[str]:
    """Return the methods of a class, read from the source, those of its bases in its module too.

    Of a function it is `__call__`; nothing of what is not written with class or def there.

    Raises:
        InputError: there is no such code.
    """
    file = locate(name, folder, noun)
    body: Any = _tree(file, name).body if file.suffix == ".py" else []
    written = {node.name: node for node in body if hasattr(node, "name")}
    found, left = set[str](), [target_of(name, noun).partition(":")[2]]
    while left:
        node = written.pop(left.pop(), None)
        if isinstance(node, ast.FunctionDef):
            found.add("__call__")
        elif isinstance(node, ast.ClassDef):
            found |= {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            left += [base.id for base in node.bases if isinstance(base, ast.Name)]
    return frozenset(found)


def is_free(name: str, file: Path) -> bool:
    """Tell whether a name of a module means this file, or nothing else."""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return False
    if name in sys.modules:
        return origin_of(sys.modules[name]) == file
    spec = importlib.util.find_spec(name)
    return spec is None or spec.origin is None or Path(spec.origin).resolve() == file.resolve()


def origin_of(module: object) -> Path | None:
    """Return the file that an imported module came from."""
    file = getattr(module, "__file__", None)
    return Path(file) if file else None


def _module(module: str, folder: Path) -> Path | None:
    """Return the file of a module, beside the suite file or installed."""
    return beside(module, folder) or _installed(module)


def beside(module: str, folder: Path) -> Path | None:
    """Return the file of a module that lies in a folder, or None."""
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
    return beside(".".join(below), place.parent) if spec.submodule_search_locations else None


def _files(package: Path) -> dict[str, Path]:
    return {f.relative_to(package.parent).as_posix(): f for f in sorted(package.rglob("*.py"))}


def files_beside(module: str, folder: Path) -> dict[str, Path]:
    """Return the files of a module beside the suite file, if an import of its name means it."""
    file = beside(module, folder)
    if file is None or not is_free(module, file):
        return {}
    return _files(file.parent) if file.name == "__init__.py" else {file.name: file}


def _named_files(file: Path, name: str) -> dict[str, Path]:
    """Return the files that a module says it reads, by FILES."""
    body = _tree(file, name).body if file.suffix == ".py" else []
    values = [n.value for n in body if isinstance(n, ast.Assign) and _sets(n.targets, "FILES")]
    try:
        named = [str(path) for value in values for path in ast.literal_eval(value)]
    except (ValueError, TypeError):
        raise InputError(f"found '{name}', but FILES in {file} is no list of paths") from None
    for path in named:
        if not (file.parent / path).is_file():
            raise InputError(f"found '{name}', but {file} names '{path}', which is not a file")
    return {f"FILES/{path}": file.parent / path for path in named}


def step_unit(name: str, folder: Path) -> str:
    """Return what `steps` of a suite are for a model: what its module's constant STEPS says.

    Raises:
        InputError: it says neither "steps" nor "evaluations"; or as `locate`.
    """
    file = locate(name, folder, "models")
    body = _tree(file, name).body if file.suffix == ".py" else []
    values = [n.value for n in body if isinstance(n, ast.Assign) and _sets(n.targets, "STEPS")]
    found = values[-1].value if values and isinstance(values[-1], ast.Constant) else "steps"
    if (values and not isinstance(values[-1], ast.Constant)) or found not in STEP_UNITS:
        raise InputError(
            f"found '{name}', but STEPS in {file} is none of {', '.join(map(repr, STEP_UNITS))}"
        )
    return str(found)


def _sets(targets: list[ast.expr], constant: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == constant for target in targets)


def imports_of(file: Path) -> set[str]:
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
