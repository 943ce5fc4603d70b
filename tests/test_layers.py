"""Who may import whom: the table of ARCHITECTURE.md, walked over the source."""

import ast
import re
from graphlib import TopologicalSorter
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
    "processor",
    "published",
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
    "suite": NOUNS | {"sources", "sample"},
    "plan": TABLES | {"suite", "sample", "sources"},
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
    "scoring": TABLES | SPINE | {"sources", "metrics"},
    "cli": TABLES | SPINE | OUTLETS | {"session", "scoring", "sources", "metrics"},
    "api": TABLES | SPINE | OUTLETS | {"session", "scoring", "cli", "models", "sources"},
    "__main__": {"cli"},
    "__init__": GROUND,
}
# file -> what a function of it imports, which would bring torch into every process at its top
LATE = {
    "api.py": {"models"},
    "cli/convert.py": {"models"},
    "cli/weights.py": {"features"},
    "session/export.py": {"models"},
    "metrics/layouts.py": {"features"},
    "metrics/paired.py": {"features"},
    "scoring/sides.py": {"features"},
}
ONLY_IMPORTERS = {
    "ruamel": {"suite/read.py", "sources/models/compvis_config.py"},
    "ray": {"execute/cluster.py"},
    "mlflow": {"track/experiment.py", "track/database.py"},
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
    return named(ast.walk(ast.parse(path.read_text())))


def late_imports(path: Path) -> set[str]:
    """Return what functions of a file import of this package."""
    functions = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, DEFINITIONS))
    found = {name for function in functions for name in named(ast.walk(function))}
    return {name for name in found if name.startswith("ldmbench.")}


def named(nodes) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


BY_STRING = {
    "models/pipelines/pipeline.py",
    "execute/probe.py",  # what a device is
    "execute/worker.py",  # stage functions
    "stages/scores.py",  # functions of metrics
    "models/diffusers/parts.py",  # classes of diffusers and transformers
    "records/runs.py",
    "sample/solvers.py",  # schedulers of diffusers
}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_only_what_its_layer_may(path):
    here, late = package(path), LATE.get(path.relative_to(ROOT).as_posix(), set())
    delayed = {name for name in late_imports(path) if name.split(".")[1] in late}
    for name in imports(path) - delayed:
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


def test_code_is_named_by_string_where_a_worker_or_a_plugin_looks_it_up():
    """Everywhere else it is imported, so that types and this file's table hold."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if re.search(r": Any = resolve\(", path.read_text())
    }
    assert found <= BY_STRING


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def needed(path: Path, modules: set[str]) -> set[str]:
    """Return the modules of this package that a file imports as it is loaded."""
    tree, inside = ast.parse(path.read_text()), set()
    for function in (node for node in ast.walk(tree) if isinstance(node, DEFINITIONS)):
        inside |= {id(node) for node in ast.walk(function)}
    names = named(node for node in ast.walk(tree) if id(node) not in inside)
    found = {name if name in modules else name.rpartition(".")[0] for name in names}
    return (found & modules) - {module_of(path)}


def test_no_imports_form_a_ring():
    modules = {module_of(path): path for path in FILES}
    graph = {name: needed(path, set(modules)) for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the ring


SLOW = {"altair", "diffusers", "huggingface_hub", "mlflow", "pandas", "ray", "scipy", "torch"}
"""Libraries that take long to import, or that not every command needs."""
RECURSIVE = {("models/originals/checkpoint.py", "ldmbench.models.loader")}
"""A model whose first stage is a file of its own: the one reader of models reads it too."""


def at_import(nodes) -> list[ast.AST]:
    """Return every node that runs as a module is imported: not functions, not type checking."""
    found = []
    for node in nodes:
        if isinstance(node, (*DEFINITIONS, ast.Lambda)):
            continue
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        found += [node, *at_import(node.orelse if typing else ast.iter_child_nodes(node))]
    return found


def test_own_imports_in_functions_delay_a_slow_library():
    modules = {module_of(path): path for path in FILES}
    trees = {name: ast.parse(path.read_text()) for name, path in modules.items()}
    direct = {name: named(at_import([tree])) for name, tree in trees.items()}

    def libraries(module: str) -> set[str]:
        seen, waiting, found = set(), {module}, set()
        while waiting:
            name = waiting.pop()
            seen.add(name)
            parts = name.split(".")
            above = {".".join(parts[:n]) for n in range(1, len(parts))}
            whole = {n if n in direct else n.rpartition(".")[0] for n in direct.get(name, ())}
            waiting |= ({n for n in whole if n in direct} | (above & set(direct))) - seen
            found |= {n.split(".")[0] for n in direct.get(name, ())}
        return found & SLOW

    for path in FILES:
        place = path.relative_to(ROOT).as_posix()
        for name in late_imports(path):
            target = name if name in modules else name.rpartition(".")[0]
            if (place, target) not in RECURSIVE:
                assert libraries(target) - libraries(module_of(path)), (
                    f"a function of {place} imports {target}: import it at the top"
                )
