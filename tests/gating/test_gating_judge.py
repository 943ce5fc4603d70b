"""Verdicts: what regresses, passes, cannot be told, cannot be compared; never a pass of nothing."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from made_records import CPU, Made, baseline_of

from ldmbench.errors import InputError, UnlikeError
from ldmbench.gating.baseline import accepted_run
from ldmbench.gating.cases import ALL_CELLS
from ldmbench.gating.commit import Commit
from ldmbench.gating.judge import judge
from ldmbench.gating.summary import terminal
from ldmbench.records.compare import stored_replicates
from ldmbench.schema.baseline import Baseline, RuleChange

ONE = ("ldm/shapes/ddim-4/g1/s0",)


def verdicts(store, base, new, *, rules=None, **how):
    """Return name -> verdict of the first cell, and the outcome."""
    accepted = baseline_of(store, *(base if isinstance(base, tuple) else (base,)), rules=rules)
    outcome = judge(new.records(store), accepted, stored_replicates(store), title="b.json", **how)
    first = outcome.items[0].cell if outcome.items else None
    return {i.name: i for i in outcome.items if i.cell == first}, outcome


def test_the_same_images_pass_whatever_the_noise(tmp_path):
    found, outcome = verdicts(tmp_path, Made(fid_error=9.0), Made(number=2, fid_error=9.0))
    assert outcome.exit_code == 0
    assert found["fid"].reason == "the very same images"
    assert {i.verdict for i in outcome.items} == {"pass"}
    assert "train_device_days" not in found
    assert "yardstick" not in found


@pytest.mark.parametrize(
    ("change", "name", "verdict", "code"),
    [
        ({"fid": 26.0, "own": 2}, "fid", "regressed", 1),
        ({"fid": 15.0, "own": 2}, "fid", "improved", 0),
        ({"fid": 20.2, "own": 2}, "fid", "pass", 0),
        ({"fid": 20.2, "own": 2, "fid_error": 3.0}, "fid", "inconclusive", 3),
        ({"throughput": 90.0}, "throughput", "regressed", 1),
        ({"throughput": 115.0}, "throughput", "improved", 0),
        ({"latency": 0.023}, "latency", "regressed", 1),
        ({"latency": 0.017}, "latency", "improved", 0),
        ({"wobble": 0.2}, "throughput", "inconclusive", 3),
        ({"throughput": None}, "throughput", "inconclusive", 3),
        ({"yardstick": None}, "throughput", "incomparable", 2),
        ({"flops": 2e9 + 1000}, "flops_per_image", "regressed", 1),
        ({"flops": 2e9 - 1000}, "flops_per_image", "improved", 0),
        ({"precision": None}, "precision", "inconclusive", 3),
    ],
)
def test_verdicts(tmp_path, change, name, verdict, code):
    found, outcome = verdicts(tmp_path, Made(), Made(number=2, **change))
    assert found[name].verdict == verdict, found[name]
    assert outcome.exit_code == code


def test_a_slower_runner_cancels_out(tmp_path):
    slow = Made(number=2, throughput=50.0, latency=0.04, yardstick=0.1, cells=ONE)
    found, _ = verdicts(tmp_path, Made(cells=ONE), slow)
    assert found["throughput"].change == pytest.approx(0.0, abs=1e-9)
    assert found["throughput"].verdict != "regressed"
    slower = replace(slow, throughput=35.0)
    assert verdicts(tmp_path, Made(cells=ONE), slower)[0]["throughput"].verdict == "regressed"


def test_a_big_correction_is_doubted(tmp_path):
    near, _ = verdicts(tmp_path, Made(), Made(number=2))
    far, _ = verdicts(tmp_path, Made(), Made(number=3, throughput=25.0, yardstick=0.2))
    width = {n: i["throughput"].high - i["throughput"].low for n, i in (("n", near), ("f", far))}
    assert width["f"] > width["n"] + 0.1


@pytest.mark.parametrize(
    ("change", "name", "why"),
    [
        ({"device": "Other CPU"}, "throughput", f"device was {CPU} and is Other CPU"),
        ({"batch": 4}, "throughput", "batch was 8 and is 4"),
        ({"yardstick": None}, "latency", "yardstick was yardstick-v2 and is none"),
        (
            {"stick_version": "yardstick-v3"},
            "latency",
            "yardstick was yardstick-v2 and is yardstick-v3",
        ),
        (
            {"signature": "fid|v1|feat:shapes-net@99999999|n:32|m:128|quant:round|dtype:f32"},
            "fid",
            "signature: feat was shapes-net@6726825d and is shapes-net@99999999,"
            " n was 64 and is 32",
        ),
    ],
)
def test_unlike_numbers_name_the_field_and_never_pass(tmp_path, change, name, why):
    found, outcome = verdicts(tmp_path, Made(), Made(number=2, **change))
    assert found[name].verdict == "incomparable"
    assert found[name].reason == why
    assert outcome.exit_code == 2


def test_speeds_of_another_machine_class_can_be_noted_instead(tmp_path):
    other = Made(number=2, device="Other CPU", throughput=10.0, latency=9.0)
    found, outcome = verdicts(tmp_path, Made(), other, note_machines=True)
    assert outcome.exit_code == 0
    assert set(found) == {"fid", "precision", "flops_per_image"}
    (note,) = outcome.notes
    assert note == (
        f"throughput, latency of 4 measures in all were accepted on {CPU} and are measured on"
        " Other CPU: noted, not judged"
    )
    for change, code in (({"flops": 3e9}, 1), ({"fid": 26.0, "own": 2}, 1), ({"batch": 4}, 0)):
        _, outcome = verdicts(tmp_path, Made(), replace(other, **change), note_machines=True)
        assert outcome.exit_code == code
    slow = Made(number=3, throughput=80.0)
    assert verdicts(tmp_path, Made(), slow, note_machines=True)[1].exit_code == 1
    rules = dict.fromkeys(("fid", "precision", "flops_per_image"), RuleChange(by="recorded_only"))
    _, outcome = verdicts(tmp_path, Made(), other, rules=rules, note_machines=True)
    assert outcome.items == ()
    assert outcome.exit_code == 3


def test_noise_can_be_noted_and_nothing_measured_cannot(tmp_path):
    noisy = Made(number=2, wobble=0.4)
    assert verdicts(tmp_path, Made(), noisy)[1].exit_code == 3
    assert verdicts(tmp_path, Made(), noisy, noise_passes=True)[1].exit_code == 0
    for change in ({"throughput": None}, {"precision": None}, {"cells": ONE}, {"cells": ()}):
        made = replace(noisy, **change)
        assert verdicts(tmp_path, Made(), made, noise_passes=True)[1].exit_code == 3
    names = ("fid", "precision", "flops_per_image")
    rules = dict.fromkeys(names, RuleChange(by="recorded_only"))
    _, outcome = verdicts(tmp_path, Made(), noisy, rules=rules, noise_passes=True)
    assert {item.verdict for item in outcome.items} == {"inconclusive"}
    assert outcome.exit_code == 3


def test_counts_do_not_care_about_the_device(tmp_path):
    found, _ = verdicts(tmp_path, Made(), Made(number=2, device="Other CPU"))
    assert found["flops_per_image"].verdict == "pass"


def test_peak_memory_is_counted_and_judged_on_its_device(tmp_path):
    found, _ = verdicts(tmp_path, Made(peak=1e8), Made(number=2, peak=1.02e8))
    assert found["peak_memory"].verdict == "regressed"
    found, _ = verdicts(tmp_path, Made(peak=1e8), Made(number=2, peak=1e8, device="Other GPU"))
    assert found["peak_memory"].verdict == "incomparable"
    assert "device" in found["peak_memory"].reason


def test_stale_is_no_pass_and_says_what_to_type(tmp_path):
    _, outcome = verdicts(tmp_path, Made(), Made(number=2, stale=("denoiser", "samples")))
    assert outcome.exit_code == 2
    assert "ldmbench run SUITE --fresh denoiser --fresh samples" in outcome.items[0].reason


def test_failed_cells_end_with_4_and_regressions_before_them_with_1(tmp_path):
    broken = Made(number=2, failed=ONE)
    _, outcome = verdicts(tmp_path, Made(), broken)
    assert outcome.exit_code == 4
    assert outcome.failed == {ONE[0]: "it broke"}
    _, outcome = verdicts(tmp_path, Made(), replace(broken, throughput=70.0))
    assert outcome.exit_code == 1


@pytest.mark.parametrize("cells", [(), ("other/shapes/ddim-4/g1/s0",), ONE])
def test_measuring_nothing_or_too_little_is_never_a_pass(tmp_path, cells):
    _, outcome = verdicts(tmp_path, Made(), Made(number=2, cells=cells))
    assert outcome.exit_code == 3
    missing = [i for i in outcome.items if i.reason == "accepted, but not in this run"]
    assert len(missing) == 2 - (cells == ONE)


def test_rules_that_watch_everything_judge_nothing(tmp_path):
    names = ("fid", "precision", "throughput", "latency", "flops_per_image")
    rules = dict.fromkeys(names, RuleChange(by="recorded_only"))
    _, outcome = verdicts(tmp_path, Made(), Made(number=2, fid=99.0), rules=rules)
    assert outcome.items == ()
    assert outcome.exit_code == 3


def test_new_cells_are_noted_not_judged(tmp_path):
    _, outcome = verdicts(tmp_path, Made(cells=ONE), Made(number=2))
    assert outcome.exit_code == 0
    assert "pixel/shapes/ddim-4/g1/s0" in outcome.notes[0]


def test_another_suite_is_unlike(tmp_path):
    with pytest.raises(UnlikeError, match="'smoke' and the run of 'other'"):
        verdicts(tmp_path, Made(), Made(suite="other"))


def test_rules_in_the_baseline_hold(tmp_path):
    new = Made(number=2, fid=26.0, own=2)
    rules = {"fid": RuleChange(tolerance=0.5, limit=0.6)}
    assert verdicts(tmp_path, Made(), new, rules=rules)[0]["fid"].verdict == "pass"
    rules = {"fid": RuleChange(better="higher")}
    assert verdicts(tmp_path, Made(), new, rules=rules)[0]["fid"].verdict == "improved"
    with pytest.raises(InputError, match="did you mean 'fid'"):
        verdicts(tmp_path, Made(), new, rules={"fids": RuleChange(tolerance=1.0)})


def test_pairing_narrows_the_interval(tmp_path):
    paired, _ = verdicts(tmp_path, Made(), Made(number=2, fid=20.2, own=2))
    assert "correlation 0.5" in paired["fid"].method
    for file in (tmp_path / "scores").rglob("*.npz"):
        file.unlink()
    base, new = Made(), Made(number=2, fid=20.2, own=2)
    accepted = baseline_of(tmp_path, base)
    alone = judge(new.records(tmp_path / "b"), accepted, lambda _: None).items[0]
    assert alone.high - alone.low > 1.3 * (paired["fid"].high - paired["fid"].low)


def test_shares_of_one_use_the_interval(tmp_path):
    base = Made(precision=1.0, half=0.08, cells=ONE)
    found, _ = verdicts(tmp_path, base, replace(base, number=2, precision=0.99, own=2))
    assert found["precision"].low < -0.05
    assert found["precision"].verdict == "inconclusive"
    low = Made(number=3, precision=0.5, fid=20.1, own=2, cells=ONE)
    assert verdicts(tmp_path, base, low)[0]["precision"].verdict == "regressed"


def test_the_spread_of_train_seeds_is_believed(tmp_path):
    new = Made(number=9, fid=23.0, own=2)
    alone, _ = verdicts(tmp_path, Made(), new)
    assert alone["fid"].verdict == "regressed"
    seeds = tuple(Made(number=i, fid=f, own=1 + i % 2) for i, f in enumerate((18, 22, 19, 21, 20)))
    several, _ = verdicts(tmp_path, seeds, new)
    assert several["fid"].verdict != "regressed"
    assert several["fid"].before == pytest.approx(20.0)
    assert "5 accepted runs" in several["fid"].method


def test_a_baseline_of_two_machines_takes_the_like_one(tmp_path):
    runs = (Made(), Made(number=2, device="Other CPU", throughput=300.0))
    found, outcome = verdicts(tmp_path, runs, Made(number=3))
    assert found["throughput"].before == 100.0
    assert outcome.exit_code == 0


def test_outcome_is_strict_json(tmp_path):
    _, outcome = verdicts(tmp_path, Made(), Made(number=2, fid=26.0, own=2, throughput=None))
    told = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert told["verdict"] == "regressed"
    assert told["exit_code"] == 1
    assert sum(told["counts"].values()) == len(told["items"])


def test_false_alarms_stay_below_what_is_promised(tmp_path):
    """200 gates of runs whose noise is what their intervals say: at most 1 % regress, most pass."""
    rng = np.random.default_rng(1)
    base = Made(throughput=100.0, yardstick=0.05, cells=ONE, precision=None)
    bad = passed = 0
    rules = {"fid": RuleChange(by="recorded_only")}
    for number in range(200):
        near = np.exp(rng.normal(scale=0.007, size=4))
        old = replace(base, throughput=100 * near[0], latency=0.02 * near[1], wobble=0.01)
        new = replace(
            base, number=number % 90, throughput=100 * near[2], latency=0.02 * near[3], wobble=0.01
        )
        _, outcome = verdicts(tmp_path, old, new, rules=rules)
        bad += outcome.exit_code == 1
        passed += outcome.exit_code == 0
    assert bad <= 2
    assert passed >= 180


def test_a_model_that_varies_more_than_the_others_is_believed(tmp_path):
    """Trainings of one model differ by 30 %, of another by 1 %: pooling would cry wolf."""
    rng = np.random.default_rng(3)
    rules = {name: RuleChange(by="recorded_only") for name in ("throughput", "latency")}
    fresh = itertools.count()

    def records():
        number = next(fresh) % 90
        parts = [
            Made(number=number, cells=(f"{model}/shapes/ddim-4/g1/s0",), fid=fid, precision=None)
            for model, fid in (
                ("ldm", 20 * (1 + 0.3 * rng.normal())),
                ("pixel", 20 * (1 + 0.01 * rng.normal())),
            )
        ]
        return [record for part in parts for record in part.records(tmp_path)]

    read = stored_replicates(tmp_path)
    bad = 0
    for _ in range(60):
        runs = [accepted_run(records(), read, commit=Commit()) for _ in range(6)]
        base = Baseline(suite="smoke", rules=rules, runs=tuple(runs))
        bad += judge(records(), base, read).exit_code == 1
    assert bad <= 1


def test_a_slowdown_too_small_for_any_cell_shows_in_all_of_them(tmp_path):
    """Eight cells 8 % slower, each timed too roughly to be called by itself."""
    cells = tuple(f"m{i}/shapes/ddim-4/g1/s0" for i in range(8))
    base = Made(cells=cells, wobble=0.035, precision=None)
    rules = {"fid": RuleChange(by="recorded_only"), "throughput": RuleChange(limit=0.3)}
    slow = replace(base, number=2, throughput=100 / 1.08)
    _, outcome = verdicts(tmp_path, base, slow, rules=rules)
    found = {i.cell: i for i in outcome.items if i.name == "throughput"}
    assert {found[cell].verdict for cell in cells} == {"pass"}
    assert found[ALL_CELLS].verdict == "regressed"
    assert found[ALL_CELLS].change == pytest.approx(1 / 1.08 - 1)
    assert outcome.exit_code == 1
    _, outcome = verdicts(tmp_path, replace(base, cells=cells[:1]), slow, rules=rules)
    assert not [i for i in outcome.items if i.cell == ALL_CELLS]  # one cell is its own mean


def test_the_mean_over_all_cells_has_a_tolerance_of_its_own(tmp_path):
    cells = tuple(f"m{i}/shapes/ddim-4/g1/s0" for i in range(8))
    base = Made(cells=cells, precision=None)
    slow = replace(base, number=2, throughput=100 / 1.08)
    for own, verdict in ((None, "pass"), (0.03, "regressed")):
        rules = {"throughput": RuleChange(tolerance=0.1, mean_tolerance=own, limit=0.5)}
        _, outcome = verdicts(tmp_path, base, slow, rules=rules)
        found = {i.cell: i for i in outcome.items if i.name == "throughput"}
        assert {found[cell].verdict for cell in cells} == {"pass"}
        assert found[ALL_CELLS].verdict == verdict
        assert found[ALL_CELLS].tolerance == (own or 0.1)


def test_half_of_the_chance_to_err_is_for_the_means(tmp_path):
    """The interval of the mean hangs on how many means there are, not on how many scores."""
    cells = tuple(f"m{i}/shapes/ddim-4/g1/s0" for i in range(8))
    widths = []
    for more in ({}, {"fid": RuleChange(by="recorded_only")}):
        base = Made(cells=cells, precision=None)
        again = replace(base, number=2, own=2, throughput=100.01)
        _, outcome = verdicts(tmp_path, base, again, rules=more)
        found = {i.cell: i for i in outcome.items if i.name == "throughput"}
        widths.append([found[cell].high - found[cell].low for cell in (ALL_CELLS, cells[0])])
    (mean, own), (mean_alone, own_alone) = widths
    assert mean == pytest.approx(mean_alone)
    assert own > own_alone


def test_the_mean_over_all_cells_never_spoils_what_the_cells_say(tmp_path):
    """Few accepted runs, a shift common to all their cells: it is left out, not inconclusive."""
    cells = tuple(f"m{i}/shapes/ddim-4/g1/s0" for i in range(10))
    rng = np.random.default_rng(0)
    rules = {name: RuleChange(by="recorded_only") for name in ("fid", "precision")}
    made = itertools.count()

    def shifted():
        near = np.exp(rng.normal(scale=0.01, size=2))
        return Made(
            number=next(made) % 90, cells=cells, throughput=100 * near[0], latency=0.02 * near[1]
        )

    for runs in (1, 2, 5):
        ends = [
            verdicts(tmp_path, tuple(shifted() for _ in range(runs)), shifted(), rules=rules)[1]
            for _ in range(10)
        ]
        assert sum(outcome.exit_code == 1 for outcome in ends) <= 1
        shown = [i for o in ends for i in o.items if i.cell == ALL_CELLS]
        assert {i.verdict for i in shown} <= {"pass", "improved", "regressed"}


def test_cells_of_one_timing_are_no_evidence_of_each_other(tmp_path):
    """Five sample seeds share one speed stage: their mean is that timing and no better."""
    seeds = tuple(f"ldm/shapes/ddim-4/g1/s{i}" for i in range(5))
    _, outcome = verdicts(tmp_path, Made(cells=seeds), Made(number=2, cells=seeds))
    assert ALL_CELLS not in {item.cell for item in outcome.items}


def test_accepted_runs_of_unlike_cells_are_not_mixed(tmp_path):
    both = ("ldm/shapes/ddim-4/g1/s0", "pixel/shapes/ddim-4/g1/s0")
    apart = (Made(cells=both[:1], throughput=50.0), Made(number=2, cells=both[1:], throughput=99.0))
    _, outcome = verdicts(tmp_path, apart, Made(number=3))
    assert ALL_CELLS not in {item.cell for item in outcome.items}
    _, outcome = verdicts(tmp_path, (*apart, Made(number=4)), Made(number=3, throughput=100.01))
    (found,) = (i for i in outcome.items if (i.cell, i.name) == (ALL_CELLS, "throughput"))
    assert found.change == pytest.approx(1e-4, rel=1e-3)


def test_a_run_passes_against_itself_however_noisy_its_times_are(tmp_path):
    noisy = Made(wobble=0.3)
    _, outcome = verdicts(tmp_path, noisy, noisy)
    assert outcome.exit_code == 0
    assert {item.verdict for item in outcome.items} == {"pass"}


def test_a_change_of_speed_says_that_it_is_in_yardsticks(tmp_path):
    _, outcome = verdicts(tmp_path, Made(), Made(number=2, throughput=90.0, fid=21.0))
    lines = terminal(outcome, everything=True).splitlines()
    shown = {line.split()[1]: line for line in lines if line.startswith("  ")}
    assert shown["throughput"].endswith("] in yardsticks")
    assert shown["fid"].endswith("]")


def test_an_interval_without_end_is_no_error(tmp_path):
    cells = tuple(f"m{i}/shapes/ddim-4/g1/s0" for i in range(200))
    base = Made(cells=cells, precision=None)
    runs = (base, replace(base, number=2, throughput=150.0, latency=0.03))
    _, outcome = verdicts(tmp_path, runs, replace(base, number=3, own=2))
    json.dumps(outcome.to_json(), allow_nan=False)


def test_energy_of_another_device_is_not_compared(tmp_path):
    rules = {"train_device_days": RuleChange(by="difference", tolerance=0.1, limit=0.5)}
    found, _ = verdicts(tmp_path, Made(), Made(device="Other CPU"), rules=rules)
    assert found["train_device_days"].verdict == "incomparable"
