"""How long a run still takes: what runs counts as it goes on, not only what is done."""

from __future__ import annotations

from itertools import pairwise

import pytest
import tiny

from ldmbench.cli import remaining
from ldmbench.cli.remaining import Remaining
from ldmbench.plan.estimate import rough_seconds
from ldmbench.store.units import units_of


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    at = [100.0]
    monkeypatch.setattr(remaining.time, "monotonic", lambda: at[0])
    return at


@pytest.fixture
def plan(tmp_path):
    suite = tiny.SUITE.replace("steps: 3}", "steps: 3000}").replace("count: 16", "count: 2000")
    return tiny.planned(tmp_path, text=suite)


def begun(plan, *without):
    """Return what remains of a plan whose stages of some kinds are in the store, and the units."""
    units = [u for stage in plan.stages if stage.kind not in without for u in units_of(stage)]
    rest = Remaining(plan)
    rest.planned(units)
    return rest, {
        stage.kind: [u for u in units if u.stage.kind == stage.kind] for stage in plan.stages
    }


def test_a_long_training_brings_the_estimate_down_as_it_goes_on(plan, clock):
    rest, units = begun(plan, "dataset", "scores")
    stages = plan.by_key()
    assert rest.seconds() is None
    assert rest.share() == 0
    rest.progressed(units["denoiser"], 0.0)
    lefts = []
    for step in range(1, 10):
        clock[0] += 50
        rest.progressed(units["denoiser"], step / 10)
        lefts.append(rest.seconds())
    training = rough_seconds(units["denoiser"][0].stage, stages)
    others = sum(rough_seconds(s, stages) for s in plan.stages if s.kind in ("samples", "features"))
    assert lefts[0] == pytest.approx(450 + others * 500 / training, rel=0.01)
    assert [a - b for a, b in pairwise(lefts)] == pytest.approx([50.0] * 8)


def test_a_training_that_goes_on_from_a_checkpoint_has_the_pace_of_this_attempt(plan, clock):
    rest, units = begun(plan, "dataset", "samples", "features", "scores")
    rest.progressed(units["denoiser"], 0.8)
    clock[0] += 10
    rest.progressed(units["denoiser"], 0.85)
    assert rest.seconds() == pytest.approx(30)
    assert rest.share() == pytest.approx(0.25)


def test_shards_of_one_task_share_its_time(plan, clock):
    rest, units = begun(plan, "dataset", "denoiser", "features", "scores")
    first, second = (
        [u for u in units["samples"] if u.stage.key == key]
        for key in dict.fromkeys(u.stage.key for u in units["samples"])
    )
    assert len(first) == len(second) > 1
    rest.progressed(first, 0.0)
    clock[0] += 20
    rest.progressed(first, 0.5)
    running = rest.seconds()
    clock[0] += 20
    for unit in first:
        rest.finished(unit, 40 / len(first))
    ratio = rough_seconds(second[0].stage, plan.by_key()) / rough_seconds(
        first[0].stage, plan.by_key()
    )
    assert running == pytest.approx(20 + 40 * ratio)
    assert rest.seconds() == pytest.approx(40 * ratio)


def test_workers_side_by_side_and_what_failed(plan, clock):
    rest, units = begun(plan, "dataset", "autoencoder", "denoiser", "features")
    samples, scores = units["samples"], units["scores"]
    half = len(samples) // 2
    rest.progressed(samples[:half], 0.0)
    rest.progressed(samples[half:], 0.0)
    clock[0] += 30
    rest.progressed(samples[:half], 0.5)
    rest.progressed(samples[half:], 0.5)
    for unit in scores:
        rest.finished(unit, None)
    assert rest.seconds() == pytest.approx(30)
    for unit in samples:
        rest.finished(unit, None)
    assert rest.seconds() is None
    assert rest.share() == 1
