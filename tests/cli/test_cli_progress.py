"""What is said of a run while it goes on, where there is no terminal for bars."""

from __future__ import annotations

import time

import pytest
import tiny

from ldmbench.cli import progress
from ldmbench.schema.stage import Stage
from ldmbench.store.units import Unit

TRAINING = Unit(Stage(kind="denoiser", key="a" * 32, params=tiny.PARAMS["denoiser"]), None)
SCORES = Unit(Stage(kind="scores", key="b" * 32, params=tiny.PARAMS["scores"]), None)


def lines_of(capsys, *, quiet=False, after):
    with progress.Watch(quiet=quiet) as watch:
        watch.planned([TRAINING, SCORES])
        watch.started(TRAINING)
        watch.progressed([TRAINING], 0.43, "step 43 of 100")
        after(watch)
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("  all:")]


def wait(watch):
    time.sleep(0.3)


def test_a_line_a_minute_says_how_far_all_is_and_what_runs(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.02)
    lines = lines_of(capsys, after=wait)
    assert len(lines) > 1
    assert lines[0] == "  all: 0 of 2 units; denoiser aaaaaaaa 43 % (step 43 of 100)"


@pytest.mark.parametrize("how", ["quiet", "soon", "idle"])
def test_no_line_is_said_to_nobody_or_of_nothing(how, monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 60.0 if how == "soon" else 0.02)

    def ended(watch):
        watch.finished(TRAINING, 1.0)
        capsys.readouterr()
        wait(watch)

    after = ended if how == "idle" else wait
    assert lines_of(capsys, quiet=how == "quiet", after=after) == []


def test_a_unit_that_begins_again_elsewhere_is_counted_once(capsys):
    with progress.Watch() as watch:
        watch.planned([TRAINING, SCORES])
        watch.started(TRAINING)
        watch.started(TRAINING)
        assert watch._said_now().count("denoiser") == 1
        watch.finished(TRAINING, 1.0)
        assert watch._said_now() == ""
        watch.started(SCORES)
        assert watch._said_now() == "  all: 1 of 2 units; scores bbbbbbbb 0 %"
    capsys.readouterr()
