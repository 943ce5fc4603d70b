"""Types say something: `Any` is rare, and no line silences mypy in vain."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "ldmbench").rglob("*.py"))
MOST = 1.0 / 100
"""Words `Any` in annotations, per line of source: the goal is reached; lower it as they go."""


def annotations(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every annotation, and the values of type aliases, type variables' bounds and casts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            yield node.annotation
            if isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias":
                yield node.value
        elif isinstance(node, ast.arg) and node.annotation:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            yield node.returns
        elif isinstance(node, ast.Assign | ast.Call):  # aliases without a mark, cast(Any, x)
            yield from [node.value] if isinstance(node, ast.Assign) else node.args


def count(path: Path) -> int:
    tree = ast.parse(path.read_text())
    named = {id(n) for part in annotations(tree) for n in ast.walk(part) if _is_any(n)}
    return len(named)


def _is_any(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "Any"


def test_any_is_rare():
    lines = sum(len(path.read_text().splitlines()) for path in FILES)
    found = {path.relative_to(ROOT).as_posix(): count(path) for path in FILES}
    most = sorted(found.items(), key=lambda one: -one[1])[:15]
    assert sum(found.values()) <= MOST * lines, f"{sum(found.values())} in {lines}: {most}"


def test_mypy_is_strict_and_warns_of_what_silences_it_in_vain():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"]
    assert settings.get("warn_unused_ignores", True)
