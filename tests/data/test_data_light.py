"""The data room needs numpy and Pillow only."""

import pkgutil
import subprocess
import sys

import ldmbench.data

SCRIPT = """
import importlib, sys
for name in ("torch", "torchvision", "scipy", "pandas", "diffusers"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_no_torch():
    names = [m.name for m in pkgutil.iter_modules(ldmbench.data.__path__, "ldmbench.data.")]
    assert "ldmbench.data.shapes" in names
    done = subprocess.run([sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_sorted_and_exist():
    for found in pkgutil.iter_modules(ldmbench.data.__path__, "ldmbench.data."):
        module = __import__(found.name, fromlist=["__all__"])
        names = list(module.__all__)
        constants = [n for n in names if n.isupper()]
        classes = [n for n in names if not n.isupper() and n[0].isupper()]
        functions = [n for n in names if n[0].islower()]
        assert names == sorted(constants) + sorted(classes) + sorted(functions)
        assert all(hasattr(module, n) for n in names)
