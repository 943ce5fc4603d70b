"""Code of a user's own is loaded from its own file; the folder it lies in lends no names."""

import subprocess
import sys

import pytest

from ldmbench.errors import InputError
from ldmbench.execute.process import COMMAND
from ldmbench.plugin_files import sources
from ldmbench.plugins import make

NAMES = ("random", "json", "types", "logging", "numpy", "torch", "pydantic", "click", "yaml", "PIL")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A folder full of names that Python and installed packages have, none of which is to run."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the {name}.py of a folder ran')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0].startswith(("mine", "beside_", "helper", "pack")):
            del sys.modules[name]


@pytest.mark.parametrize("command", [COMMAND, (sys.executable, "-m", "ldmbench")], ids=["w", "d"])
def test_names_of_files_in_the_current_folder_are_no_modules(hostile, command):
    if command != COMMAND:
        (hostile / "types.py").unlink()  # Python itself takes it, before any of ours is run
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_module_is_loaded_from_its_own_file_and_finds_its_neighbours(hostile):
    (hostile / "mine.py").write_text(
        "import json, random\nimport numpy as np\nimport helper_a\n"
        "def made(): return json.dumps([helper_a.one, np.ones(1).sum(), random.random() < 1])\n"
    )
    (hostile / "helper_a.py").write_text("import types\nfrom pack.deep import one\n")
    (hostile / "pack").mkdir()
    (hostile / "pack" / "__init__.py").write_text("")
    (hostile / "pack" / "deep.py").write_text("from . import other\none = other.one\n")
    (hostile / "pack" / "other.py").write_text("one = 1\n")
    assert make("mine:made", hostile, {}, "models")() == "[1, 1.0, true]"
    assert make("pack.deep:other", hostile, {}, "models").one == 1
    found = set(sources("mine:made", hostile, "models"))
    assert found == {"mine.py", "helper_a.py", "pack/__init__.py", "pack/deep.py", "pack/other.py"}


def test_a_module_may_have_a_name_that_is_taken(hostile, tmp_path):
    (hostile / "random.py").write_text("def made(): return 'mine'\n")
    assert make("random:made", hostile, {}, "models")() == "mine"
    assert sys.modules["random"].__file__ != str(hostile / "random.py")
    (hostile / "other").mkdir()
    for folder, said in ((hostile, "one"), (hostile / "other", "two")):
        (folder / "mine.py").write_text(f"def made(): return {said!r}\n")
        assert make("mine:made", folder, {}, "models")() == said


def test_a_neighbour_whose_name_is_taken_is_told(hostile):
    (hostile / "mine.py").write_text("from click import of_mine\n")
    with pytest.raises(InputError, match="'click' is the installed module, not the one beside"):
        make("mine:of_mine", hostile, {}, "models")
