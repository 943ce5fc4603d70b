"""Libraries that are imported are declared in pyproject.toml, and the other way round."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"ldmbench"} | {path.stem for path in (ROOT / "tests").rglob("*.py")}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return {normal(re.split(r"[<>=!~ \[]", line)[0]) for line in wanted}


def imported(folder: str) -> dict[str, str]:
    """Top-level module -> one file that imports it, at any depth of the file."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                found.setdefault(name.split(".")[0], path.relative_to(ROOT).as_posix())
    return {k: v for k, v in found.items() if k not in sys.stdlib_module_names | OURS}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [("ldmbench", ("ray", "data")), ("scripts", ("dev",)), ("tests", ("dev", "ray", "data"))],
)
def test_every_import_is_declared(folder, extras):
    owners = packages_distributions()
    allowed = declared(*extras)
    for module, place in imported(folder).items():
        names = {normal(name) for name in owners.get(module, [module])}
        assert names & allowed, f"{place} imports {module}, which pyproject.toml does not declare"


def test_every_declared_library_is_imported():
    owners = packages_distributions()
    found = {
        normal(name) for module in imported("ldmbench") for name in owners.get(module, [module])
    }
    unused = sorted(declared("ray", "data") - found)
    assert not unused, f"pyproject.toml declares {unused}, which no file of ldmbench/ imports"
