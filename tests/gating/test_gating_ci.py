"""CI: the examples of docs/ci.md parse, their scripts too, and every command in them exists."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from ldmbench.cli import door
from ldmbench.gating import read_baseline

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ci.md").read_text("utf-8"), re.S)
GITHUB, GITLAB = (YAML(typ="safe").load(text) for text in BLOCKS)
SCRIPTS = [
    *(step["run"] for step in GITHUB["jobs"]["gate"]["steps"] if "run" in step),
    "\n".join(GITLAB["ldmbench"]["script"]),
    "\n".join(GITLAB["ldmbench"]["after_script"]),
    *((ROOT / ".ci" / name).read_text("utf-8") for name in ("run", "gate")),
    (ROOT / "scripts" / "accept_smoke.sh").read_text("utf-8"),
]


def test_github_has_the_shape_that_it_takes():
    assert set(GITHUB) >= {"name", "jobs"}
    assert "on" in GITHUB or True in GITHUB  # YAML 1.1 reads `on` as true, and so does GitHub
    job = GITHUB["jobs"]["gate"]
    assert set(job) <= {"runs-on", "timeout-minutes", "env", "steps"}
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step)
        assert set(step) <= {"uses", "run", "name", "with", "if", "env"}
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])


def test_gitlab_has_the_shape_that_it_takes():
    job = GITLAB["ldmbench"]
    assert job["stage"] in GITLAB["stages"]
    assert all(isinstance(line, str) for line in [*job["script"], *job["after_script"]])
    assert job["artifacts"]["reports"] == {"junit": "gate.xml"}
    assert "gate.xml" in job["artifacts"]["paths"]
    assert (
        "allow_failure" not in job
    )  # exit code 3 is also "measured nothing", which is never green


def test_what_accept_needs_is_uploaded():
    (upload,) = (
        s["with"] for s in GITHUB["jobs"]["gate"]["steps"] if "upload" in s.get("uses", "")
    )
    assert upload["include-hidden-files"] is True  # else .ldmbench is passed over
    for paths in (upload["path"].split(), GITLAB["ldmbench"]["artifacts"]["paths"]):
        assert {".ldmbench/runs", ".ldmbench/scores"} <= set(paths)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_parse_and_their_commands_exist(script):
    plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
    done = subprocess.run(["bash", "-n"], input=plain, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    joined = plain.replace("\\\n", " ").replace('"$ldmbench"', "ldmbench")
    for line in re.findall(r"^\s*ldmbench (.*)$", joined, re.M):
        words = [w for w in shlex.split(line) if not w.startswith(("$", "*"))]
        command = door.get_command(click.Context(door), words[0])
        assert command is not None, line
        known = {option for p in command.params if isinstance(p, click.Option) for option in p.opts}
        assert {w for w in words if w.startswith("-")} <= known, line


def test_ci_gates_smoke_as_the_docs_say():
    assert ".ci/gate .venv/bin/ldmbench" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert os.access(ROOT / ".ci" / "gate", os.X_OK)
    gate = (ROOT / ".ci" / "gate").read_text("utf-8")
    assert "--baseline baselines/smoke.json" in gate
    assert "|| true" not in gate


def test_the_baseline_of_smoke_is_of_smoke():
    """Step counts, models and images are what the suite asks for; else accept it anew."""
    made = read_baseline(ROOT / "baselines" / "smoke.json")
    suite = YAML(typ="safe").load(ROOT / "suites" / "smoke.yaml")
    told = suite["sample"]
    wanted = {
        f"{model}/{data}/{told['sampler']}-{steps}/g1/s{told['seed']}"
        for model in suite["models"]
        for data in suite["data"]
        for steps in told["steps"]
    }
    assert made.runs
    for run in made.runs:
        assert {cell.id for cell in run.cells} == wanted
        assert all(f"|n:{told['count']}|" in cell.scores[0].score.signature for cell in run.cells)
