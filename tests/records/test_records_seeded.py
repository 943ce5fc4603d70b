"""`compare` on groups of cells whose members are seeds."""

import numpy as np
import pytest
from scipy import stats
from test_records_compare import cell, score

from ldmbench.errors import UnlikeError
from ldmbench.records.compare import Side, compare
from ldmbench.records.pairing import one_axis
from ldmbench.schema.record import Record

VALUES = {"a": (10.0, 12.0, 11.0), "b": (9.0, 11.4, 10.2)}


def record(name, train, value, *, steps=10, seed=0, **more):
    title = f"{name}[train_seed={train}]" if train is not None else name
    made = cell(f"{title}/shapes/ddim-{steps}/g1/s{seed}")
    made = made.model_copy(update={"stages": {"denoiser": f"{name}{train}"}})
    key = f"{made.id}"
    return Record(run="R", cell=made, status="done", scores=(score(value, 0.01, key=key, **more),))


def side(name, *, seeds=(0, 1, 2), steps=(10,), shift=0.0, replicates=None):
    records = [
        record(name, t, v + shift * (n - 10), steps=n)
        for t, v in zip(seeds, VALUES[name], strict=True)
        for n in steps
    ]
    return Side(name, tuple(records), lambda s: (replicates or {}).get(s.replicates))


def test_models_are_compared_with_the_variance_between_trainings():
    found = compare(side("a"), side("b"))
    (group,) = found.groups
    gaps = np.subtract(VALUES["b"], VALUES["a"])
    assert group.row.difference == pytest.approx(gaps.mean())
    half = stats.t.ppf(0.975, 2) * stats.sem(gaps)
    assert group.row.high - group.row.difference == pytest.approx(half, rel=0.05)
    assert "paired by training seed" in group.row.method
    assert (group.row.cell_a, group.row.cell_b) == (
        "a[train_seed=*]/shapes/ddim-10/g1/s0", "b[train_seed=*]/shapes/ddim-10/g1/s0"
    )  # fmt: skip
    assert group.a.share > 0.9
    assert all(row.verdict == "differs" for row in found.rows)  # of these trainings
    assert found.verdict == group.row.verdict == "differs"
    assert not any("one training" in note for note in found.notes)


def test_a_wide_spread_of_trainings_leaves_it_undecided():
    found = compare(side("a"), Side("b", tuple(
        record("b", t, v) for t, v in enumerate((9.0, 13.0, 10.0))
    ), lambda s: None))  # fmt: skip
    assert all(row.verdict == "differs" for row in found.rows)
    assert found.verdict == "undecided"


def test_other_training_seeds_are_compared_unpaired():
    a, b = side("a"), side("b", seeds=(7, 8, 9))
    found = compare(a, b)
    assert found.rows == ()
    assert not any("only in" in note for note in found.notes)
    (group,) = found.groups
    assert "trainings unpaired, t with 3.87 degrees" in group.row.method
    welch = stats.ttest_ind(VALUES["b"], VALUES["a"], equal_var=False)
    assert group.row.p == pytest.approx(welch.pvalue, rel=0.1)
    assert one_axis(a.records, b.records, ("a", "b")) == "model"


def test_means_over_other_axes_keep_the_variance_between_trainings():
    found = compare(side("a", steps=(10, 20)), side("b", steps=(10, 20), shift=0.01))
    assert len(found.groups) == 2
    (mean,) = found.means
    gaps = np.subtract(VALUES["b"], VALUES["a"]) + 0.05
    assert mean.difference == pytest.approx(gaps.mean())
    half = stats.t.ppf(0.975, 2) * stats.sem(gaps)
    assert mean.high - mean.difference == pytest.approx(half, rel=0.1)
    assert found.verdict == mean.verdict


def test_one_training_on_each_side_is_said():
    a, b = (Side(n, (record(n, None, 10.0),), lambda s: None) for n in "ab")
    (note,) = compare(a, b).notes
    assert "holds for these two trainings; it says nothing of other training seeds" in note
    steps = Side("a", (record("a", None, 10.0, steps=50),), lambda s: None)
    assert compare(a, steps).notes == ()  # one training, sampled in two ways


def test_one_training_against_several_has_no_interval():
    several = side("b")
    found = compare(Side("a", (record("a", 0, 10.0),), lambda s: None), several)
    (group,) = found.groups
    assert (group.row.low, group.row.verdict) == (None, "undecided")
    assert "training seeds need 2 on each side" in group.row.method
    assert group.b.trainings == 3


def test_a_seed_that_failed_leaves_the_group_without_a_mean():
    a, b = side("a"), side("b")
    lost = b.records[0].model_copy(update={"status": "failed", "scores": (), "reason": "broke"})
    found = compare(Side("b", (*b.records[1:], lost), b.replicates), a)
    assert found.groups[0].row.difference is None
    assert "not all seeds have a value" in found.groups[0].row.method
    assert any("failed in A" in note for note in found.notes)


def test_sample_seeds_of_one_training_need_no_training_seeds():
    def seeds(name, values):
        return Side(name, tuple(record(name, None, v, seed=i) for i, v in enumerate(values)),
                    lambda s: None)  # fmt: skip

    found = compare(seeds("a", (10.0, 10.2)), seeds("b", (10.1, 10.5)))
    (group,) = found.groups
    assert group.row.method.endswith("one training each")
    assert group.row.high - group.row.difference == pytest.approx(
        stats.t.ppf(0.975, 1) * stats.sem((0.1, 0.3))
    )
    assert found.notes[0].startswith("one training seed on each side")


def test_the_same_artefacts_are_the_same():
    found = compare(side("a"), side("a"))
    assert (found.verdict, found.groups[0].row.method) == ("same", "the very same artefact")
    assert found.means == ()


def test_unlike_signatures_in_groups_are_refused():
    other = "fid|v1|feat:other@cccc|ref:shapes16-reference@bbbb|n:64|m:64|dtype:f32"
    b = Side("b", tuple(record("b", t, 1.0, signature=other) for t in (7, 8)), lambda s: None)
    with pytest.raises(UnlikeError, match="feat is"):
        compare(side("a"), b)


def test_replicates_join_the_errors_of_a_pair():
    rng = np.random.default_rng(0)
    common = rng.normal(size=200)
    drawn = {
        r.scores[0].replicates: r.scores[0].value + common
        for name in "ab"
        for r in side(name).records
    }
    found = compare(side("a", replicates=drawn), side("b", replicates=drawn))
    gaps = np.subtract(VALUES["b"], VALUES["a"])
    row = found.groups[0].row
    assert row.high - row.difference == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(gaps))
