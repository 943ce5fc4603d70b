"""What lies on disk is read without torch: each module of `sources` is imported where it is not."""

import pkgutil
import subprocess
import sys

import ldmbench.sources

SCRIPT = """
import importlib, sys
for name in ("torch", "torchvision", "scipy", "pandas", "diffusers", "transformers", "open_clip"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_no_torch():
    found = pkgutil.walk_packages(ldmbench.sources.__path__, "ldmbench.sources.")
    names = [module.name for module in found]
    assert {"ldmbench.sources.images.listing", "ldmbench.sources.models.peek"} <= {*names}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
