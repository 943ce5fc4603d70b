"""Who may import whom: the table of ARCHITECTURE.md, walked over the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "ldmbench"
GROUND = {
    "ahead",
    "canonical",
    "catalog",
    "errors",
    "offline",
    "plugin_files",
    "plugins",
    "registry",
    "seeds",
    "words",
}
NOUNS = GROUND | {"schema"}
TABLES = NOUNS | {"pipeline"}
ROOMS = {"sources", "tensors", "data", "metrics", "features", "sample", "models", "train", "speed"}
SPINE = {"suite", "plan", "store", "records", "execute"}
OUTLETS = {"track", "report", "gating"}

# package -> what it may import of ldmbench, beside itself
ALLOWED = {
    **dict.fromkeys(GROUND, GROUND),
    "schema": NOUNS,
    "pipeline": TABLES,
    "catalog": NOUNS,
    "suite": NOUNS | {"sources"},
    "plan": TABLES | {"suite", "sources"},
    "store": NOUNS | {"pipeline"},
    "records": NOUNS | {"store"},
    "sources": NOUNS | {"tensors", "sample"},
    "data": NOUNS | {"sources"},
    "metrics": NOUNS,
    "tensors": NOUNS,
    "features": NOUNS | {"tensors", "sources"},
    "sample": NOUNS,
    "models": NOUNS | {"sources", "sample", "data", "tensors"},
    "train": NOUNS | {"sources", "data", "models", "features", "sample", "tensors"},
    "speed": NOUNS | {"models", "sample"},
    "stages": NOUNS | ROOMS,
    "execute": NOUNS | {"plan", "store", "pipeline"},
    **dict.fromkeys(OUTLETS, NOUNS | {"records"}),
    "session": TABLES | SPINE | OUTLETS,
    "scoring": TABLES | SPINE | {"sources"},
    "cli": TABLES | SPINE | OUTLETS | {"session", "scoring", "sources"},
    "api": TABLES | SPINE | OUTLETS | {"session", "scoring", "cli", "models", "sources"},
    "__main__": {"cli"},
    "__init__": GROUND,
}
ONLY_IMPORTERS = {
    "ruamel": {"suite/read.py", "sources/models/compvis_config.py"},
    "ray": {"execute/cluster.py"},
    "mlflow": {"track/book.py", "track/database.py"},
}
NO_TORCH = {
    "suite",
    "plan",
    "store",
    "records",
    "execute",
    "session",
    "cli",
    "schema",
    "metrics",
    "sources",
} | OUTLETS


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_only_what_its_layer_may(path):
    here = package(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "ldmbench" or len(parts) == 1:
            continue
        assert parts[1] == here or parts[1] in ALLOWED[here] or path.name == "__init__.py", (
            f"{path.relative_to(ROOT)} imports {name}, which {here} may not"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_heavy_libraries_have_one_importer(path):
    place = path.relative_to(ROOT).as_posix()
    for name in imports(path):
        allowed = ONLY_IMPORTERS.get(name.split(".")[0])
        assert allowed is None or place in allowed, f"{place} imports {name}"
        if package(path) in NO_TORCH:
            assert name.split(".")[0] not in ("torch", "diffusers"), f"{place} imports {name}"


def test_every_package_has_a_row():
    assert {package(path) for path in FILES} <= set(ALLOWED)
