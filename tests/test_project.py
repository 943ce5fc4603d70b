"""What stands around the code: CI, hooks, citation, and what CONTRIBUTING.md names."""

import configparser
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def read(name):
    return YAML(typ="safe").load((ROOT / name).read_text("utf-8"))


def environments():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    named = {name.split(":")[1] for name in tox.sections() if name.startswith("testenv:")}
    return named | set(re.split(r"[,\s]+", tox["tox"]["env_list"]))


def test_the_workflow_runs_what_ci_runs():
    steps = read(".github/workflows/ci.yml")["jobs"]["ci"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert [step["uses"].split("@")[0] for step in steps if "uses" in step] == [
        "actions/checkout", "actions/setup-python",
    ]  # fmt: skip


def test_the_citation_is_of_this_version():
    cited = read("CITATION.cff")
    assert cited["version"] == PROJECT["project"]["version"]
    assert cited["license"] == PROJECT["project"]["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)


def test_hooks_are_local_and_their_commands_exist():
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        command, *rest = hook["entry"].split()
        assert command == "python" or shutil.which(command, path=str(Path(sys.executable).parent))
        assert all((ROOT / word).exists() for word in rest if "/" in word)


def test_text_files_end_with_one_line_feed(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    script = ROOT / "scripts" / "check_whitespace.py"
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tmp_path / "bad.txt").write_bytes(b"a \nb")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "bad.txt"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "line 1 ends with white space" in done.stdout
    assert "does not end with one line feed" in done.stdout


def test_contributing_names_every_marker_and_only_environments_that_exist():
    for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]:
        assert f"| `{marker.split(':')[0]}` |" in CONTRIBUTING
    assert set(re.findall(r"tox -e (\w+)", CONTRIBUTING)) <= environments()


def test_paths_that_contributing_names_exist():
    text = re.sub(r"^## Add a metric\n.*?(?=^## )", "", CONTRIBUTING, flags=re.M | re.S)
    for path in re.findall(r"`((?:ldmbench|tests|docs|scripts|baselines)/[\w./]*)`", text):
        assert (ROOT / path).exists(), path


def test_files_that_architecture_names_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    for row in re.findall(r"^\|(.*?)\|", text, re.M):
        folder = ""
        for path in re.findall(r"`([\w/]+\.py)`", row):
            if "/" in path:
                folder = path.rsplit("/", 1)[0]
            else:
                path = f"{folder}/{path}" if folder else path
            assert (ROOT / "ldmbench" / path).exists(), path
