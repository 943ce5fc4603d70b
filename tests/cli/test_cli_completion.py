"""What Tab offers, as bash, zsh and fish ask for it."""

from __future__ import annotations

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from ldmbench.cli import COMMANDS, door
from ldmbench.records.runs import Runs
from ldmbench.schema.record import Run


def _offered(arguments, begun):
    shell = BashComplete(door, {}, "ldmbench", "_LDMBENCH_COMPLETE")
    return [item.value for item in shell.get_completions(arguments, begun)]


@pytest.fixture
def store(tmp_path):
    for number in (1, 2):
        Runs(tmp_path).write_run(
            Run(
                id=f"smoke-{number}",
                suite="smoke",
                suite_digest="ab",
                state="done",
                started=f"2026-01-0{number}T00:00:00+00:00",
            )
        )
    return str(tmp_path)


@pytest.mark.parametrize("shell", [BashComplete, ZshComplete, FishComplete])
def test_each_shell_has_a_script(shell):
    assert "_LDMBENCH_COMPLETE" in shell(door, {}, "ldmbench", "_LDMBENCH_COMPLETE").source()


@pytest.mark.parametrize("command", ["report", "status", "compare", "gate"])
def test_runs_of_the_store_are_offered_newest_first(store, command):
    assert _offered([command, "--store", store], "smo") == ["smoke-2", "smoke-1"]
    assert _offered([command, "--store", store], "x") == []


def test_commands_stages_and_metrics_are_offered():
    assert "models" in _offered(["list"], "m")
    assert _offered([], "") == [*COMMANDS]  # also after `list` was imported
    assert _offered(["run", "suite.yaml", "--fresh"], "sp") == ["speed"]
    assert "fid,inception_score" in _offered(["compare", "a", "b", "--metrics"], "fid,i")
    assert _offered(["compare", "a", "b", "--metrics"], "fid,fi") == []
