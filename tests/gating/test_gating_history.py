"""History: where a series steps, and which run is named for it."""

import numpy as np
import pytest
from made_records import Made

from ldmbench.gating.change_points import noise_of, spark, steps
from ldmbench.gating.history import history, history_data
from ldmbench.schema.record import Run


def runs_of(store, *made):
    return [
        (
            Run(id=m.id, suite=m.suite, suite_digest="", state="done", started=m.id),
            m.records(store),
        )
        for m in made
    ]


def test_a_step_is_found_where_it_is():
    rng = np.random.default_rng(0)
    for trial in range(50):
        values = np.r_[rng.normal(10, 1, 12), rng.normal(16, 1, 5)].tolist()
        found = steps(values, noise=noise_of(values))
        assert any(abs(step.at - 12) <= 1 for step in found), (trial, found)


def test_pure_noise_seldom_steps():
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(300):
        values = rng.normal(size=30).tolist()
        alarms += bool(steps(values, noise=noise_of(values)))
    assert alarms <= 6


def test_one_odd_run_is_no_step_and_two_are():
    flat = [1.0] * 10
    assert steps([*flat, 5.0, *flat], noise=0.5) == []
    assert steps([*flat, 5.0], noise=0.5) == []
    assert [s.at for s in steps([*flat, 5.0, 5.1], noise=0.5)] == [10]


def test_two_steps_and_exact_numbers():
    found = steps([1, 1, 1, 2, 2, 2, 1, 1], noise=0.0)
    assert [(s.at, s.before, s.after) for s in found] == [(3, 1.0, 2.0), (6, 2.0, 1.0)]
    assert steps([0.0] * 5, noise=0.0) == []
    assert steps([], noise=1.0) == []


@pytest.mark.parametrize(
    ("values", "shown"),
    [([0, 7], "▁█"), ([3, 3], "▄▄"), ([], ""), ([None, 1, 2], " ▁█"), ([None], "")],
)
def test_sparklines(values, shown):
    assert spark(values) == shown


def test_the_first_run_of_a_regression_is_named(tmp_path):
    slow = {"throughput": 80.0, "flops": 2.2e9}
    made = [Made(number=i, **(slow if i >= 6 else {})) for i in range(1, 10)]
    found = {(s.cell, s.name): s for s in history(runs_of(tmp_path, *made))}
    for name in ("throughput", "flops_per_image"):
        (step,) = found[("ldm/shapes/ddim-4/g1/s0", name)].steps
        assert step.run == made[5].id
        assert step.direction == "regressed"
    assert found[("ldm/shapes/ddim-4/g1/s0", "fid")].steps == ()
    assert ("ldm/shapes/ddim-4/g1/s0", "train_device_days") not in found


def test_a_slower_runner_is_no_step_and_another_signature_another_series(tmp_path):
    slow = {"throughput": 50.0, "latency": 0.04, "yardstick": 0.1}
    made = [Made(number=i, **(slow if i >= 6 else {})) for i in range(1, 10)]
    assert not any(s.steps for s in history(runs_of(tmp_path, *made)))
    other = Made(number=10, signature="fid|v2|n:64", fid=300.0)
    found = history(runs_of(tmp_path, *made, other), names=("fid",))
    assert [len(s.points) for s in found] == [9, 9, 1, 1]
    assert not any(s.steps for s in found)


def test_series_are_strict_json(tmp_path):
    import json

    made = [Made(number=i) for i in range(1, 4)]
    told = [s.to_json() for s in history(runs_of(tmp_path, *made), names=("throughput",))]
    assert json.loads(json.dumps(told, allow_nan=False))[0]["sparkline"] == "▄▄▄"


def test_the_data_of_a_page_names_the_first_run_of_a_regression(tmp_path):
    import json

    made = [Made(number=i, flops=2e9 if i < 6 else 3e9) for i in range(1, 10)]
    told = history_data("smoke", runs_of(tmp_path, *made))
    told = json.loads(json.dumps(told, allow_nan=False))
    assert [run["run"] for run in told["runs"]] == [m.id for m in made]
    assert {(r["name"], r["at"], r["run"]) for r in told["regressed"]} == {
        ("flops_per_image", 5, made[5].id)
    }
    series = {(s["cell"], s["name"]): s for s in told["series"]}
    speed = series[Made().cells[0], "throughput"]
    assert speed["better"] == "higher"
    assert "in yardstick-v2" in speed["made"]
    assert [point["at"] for point in speed["points"]] == list(range(9))
    assert speed["points"][0]["value"] == pytest.approx(100.0 * 0.05)


def test_runs_that_share_an_artefact_know_no_more_than_one(tmp_path):
    """Ten runs on one training, ten on another 1.9 standard errors away: no step; at 20, one."""
    for far, found in ((21.9, 0), (40.0, 1)):
        made = [Made(number=i, fid=20.0 if i <= 10 else far, fid_error=1.0) for i in range(1, 21)]
        series = history(runs_of(tmp_path, *made), names=("fid",))
        assert {len(s.steps) for s in series} == {found}
        assert {s.steps[0].run for s in series if s.steps} == ({made[10].id} if found else set())


@pytest.mark.parametrize(
    ("fids", "at"),
    [
        ([40.0] * 3 + [86.0] * 3 + [40.0], [3, 6]),
        ([40.0] * 10 + [86.0] * 10 + [40.0] * 10, [10, 20]),
        ([40.0, 40.0, 86.0], [2]),
        ([40.0] * 5 + [47.0] * 5, [5]),
        ([40.0] * 5 + [42.0] * 5, []),
        ([40.0] * 10, []),
        ([40.0, 86.0], []),
    ],
)
def test_steps_of_reproducible_scores_are_not_their_noise(tmp_path, fids, at):
    """Equal numbers are one artefact: its own error tells whether the next one differs."""
    made = [Made(number=i, fid=fid, fid_error=1.5) for i, fid in enumerate(fids, start=1)]
    for series in history(runs_of(tmp_path, *made), names=("fid",)):
        assert [step.run for step in series.steps] == [made[place].id for place in at]


def test_a_step_inside_the_tolerance_is_no_regression(tmp_path):
    """2 of 2e9 FLOPs count, as the gate says; 1 % of memory on an accelerator does not."""
    from ldmbench.gating.history import Point, _level_steps

    runs = [Point(f"r{i}", str(i), 1000.0 if i < 3 else 1005.0) for i in range(6)]
    assert [step.direction for step in _level_steps("peak_memory", runs)] == ["changed"]
    assert [step.direction for step in _level_steps("flops_per_image", runs)] == ["regressed"]
    near = [Point(f"r{i}", str(i), 0.42435 if i < 3 else 0.42436) for i in range(6)]
    assert _level_steps("coding_rate", near) == ()


def test_two_protocols_of_one_signature_are_one_series_with_one_point_a_run(tmp_path):
    made = [Made(number=i) for i in (1, 2)]
    doubled = [
        (run, [r.model_copy(update={"scores": (*r.scores, *r.scores)}) for r in records])
        for run, records in runs_of(tmp_path, *made)
    ]
    assert {len(s.points) for s in history(doubled, names=("fid",))} == {2}
