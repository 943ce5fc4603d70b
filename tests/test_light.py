"""The door and the spine stay light: a fresh process in which heavy libraries are blocked."""

import subprocess
import sys

HEAVY = ("torch", "diffusers", "mlflow", "ray", "altair", "pandas", "open_clip", "transformers")
BLOCK = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ImportError(name + " is heavy")
sys.meta_path.insert(0, Blocked())
"""
SPINE = (
    "ldmbench",
    "ldmbench.cli",
    "ldmbench.cli.run",
    "ldmbench.cli.plan",
    "ldmbench.cli.status",
    "ldmbench.cli.report",
    "ldmbench.cli.list",
    "ldmbench.cli.doctor",
    "ldmbench.cli.reference",
    "ldmbench.cli.weights",
    "ldmbench.scoring.run",
    "ldmbench.suite.check",
    "ldmbench.plan.build",
    "ldmbench.execute.local",
    "ldmbench.records.collect",
    "ldmbench.report",
    "ldmbench.metrics",
)


def run(code):
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code], capture_output=True, text=True, check=False
    )


def test_imports_without_heavy_libraries():
    """In one process, whose message names the first that is refused."""
    done = run("".join(f"import {module}\n" for module in SPINE))
    assert done.returncode == 0, done.stderr


def test_plan_runs_without_heavy_libraries(tmp_path):
    done = run(
        "from ldmbench.cli import outcome\n"
        f"code = outcome(['plan', 'suites/smoke.yaml', '--store', {str(tmp_path)!r}])\n"
        "assert code == 0, code"
    )
    assert done.returncode == 0, done.stderr
    assert "to run" in done.stdout
