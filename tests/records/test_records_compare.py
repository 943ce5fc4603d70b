"""Comparison of records: matching, refusal of unlike signatures, paired arithmetic, Holm."""

import numpy as np
import pytest

from ldmbench.errors import InputError, UnlikeError
from ldmbench.records.axes import axes_of
from ldmbench.records.best import standings
from ldmbench.records.compare import (
    Side,
    compare,
    holm,
    stored_replicates,
)
from ldmbench.records.pairing import one_axis
from ldmbench.schema.record import Record, Score
from ldmbench.schema.stage import Cell

SIGNATURE = "fid|v1|feat:shapes-net@aaaa|ref:shapes16-reference@bbbb|n:64|m:64|dtype:f32"
Z = 1.959963984540054


def cell(identity="ldm/shapes/ddim-10/g1/s0"):
    model, dataset, _ = identity.split("/", 2)
    return Cell(
        id=identity, model=model, dataset=dataset, sampler="ddim", steps=10, eta=0, guidance=1,
        count=64,
    )  # fmt: skip


def score(value=10.0, error=1.0, *, key="k", name="fid", signature=SIGNATURE, **more):
    ends = {} if error is None else {"low": value - Z * error, "high": value + Z * error}
    return Score(
        name=name, value=value, confidence=0.95, n=64, signature=signature, protocol="p",
        replicates=key, **ends, **more,
    )  # fmt: skip


def side(*scores, cells=("ldm/shapes/ddim-10/g1/s0",), replicates=None, status="done", title="A"):
    records = tuple(
        Record(run=title, cell=cell(i), status=status, reason="it broke", scores=scores)
        for i in cells
    )
    table = replicates or {}
    return Side(title, records, lambda s: table.get(s.replicates))


def draws(seed, spread=1.0):
    made = np.random.default_rng(seed).normal(size=200)
    return spread * (made - made.mean()) / made.std()


def test_the_spread_of_the_differences_is_the_spread_of_the_difference():
    common, own = draws(0), draws(1)
    own -= common * (own @ common) / (common @ common)
    a, b = 10 + common, 10.5 + common + 0.1 * own
    error = b.std(ddof=1)
    found = compare(
        side(score(10.0, key="a"), replicates={"a": a}),
        side(score(10.5, error, key="b"), replicates={"b": b}),
    ).rows[0]
    assert found.difference == pytest.approx(0.5)
    assert (found.high - found.low) / 2 == pytest.approx(Z * (b - a).std(ddof=1), rel=1e-6)
    assert found.verdict == "differs"
    assert found.p < 1e-4


def test_unpaired_intervals_are_wider_and_say_so():
    found = compare(side(score(10.0)), side(score(10.5))).rows[0]
    assert (found.high - found.low) / 2 == pytest.approx(Z * np.sqrt(2))
    assert "unpaired" in found.method
    assert found.verdict == "undecided"


def test_a_side_compared_with_itself_is_the_same():
    one = side(score(10.0, key="a"), replicates={"a": 10 + draws(0)})
    found = compare(one, one)
    assert found.verdict == "same"
    assert (found.rows[0].low, found.rows[0].high, found.rows[0].p) == (0, 0, 1)


@pytest.mark.parametrize("value", [0.0, 0.02])
def test_one_artefact_on_both_sides_is_the_same_however_few_its_samples(value):
    share = score(value, None, key="a", name="precision", low=0.0, high=value + 0.1)
    (row,) = compare(side(share), side(share)).rows
    assert (row.verdict, row.method) == ("same", "the very same artefact")
    assert (row.difference, row.low, row.high, row.p) == (0, 0, 0, 1)
    for other in ("b", None):
        again = share.model_copy(update={"replicates": other})
        assert compare(side(again), side(again if other is None else share)).verdict == "undecided"


def test_a_wide_interval_is_no_pass():
    a, b = side(score(10.0, 1.0)), side(score(10.1, 1.0))
    assert compare(a, b).verdict == "undecided"
    assert compare(a, b, margin=0.5).verdict == "same"


def test_an_asymmetric_interval_keeps_its_sides():
    full = score(1.0, None, low=0.95, high=1.0)
    less = score(0.8, None, low=0.7, high=0.87)
    found = compare(side(full), side(less)).rows[0]
    assert found.low == pytest.approx(-0.2 - 0.1)
    assert found.high == pytest.approx(-0.2 + np.hypot(0.07, 0.05))
    assert found.verdict == "differs"


def test_without_an_interval_there_are_too_few_samples_to_tell():
    found = compare(side(score(10.0, None)), side(score(99.0, None)))
    assert found.verdict == "undecided"
    assert found.rows[0].difference == pytest.approx(89)


def test_a_value_that_is_missing_says_why():
    lost = score(1.0).model_copy(update={"value": None, "reason": "the value is inf"})
    assert compare(side(lost), side(score())).rows[0].method == "the value is inf"


def test_holm_is_a_step_down_bonferroni():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_many_comparisons_of_nothing_seldom_differ():
    """Of 60 families of 20 true nulls about 3 may hold a false difference; 9 would be too many."""
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(60):
        values = rng.normal(size=(20, 2)) + 100
        names = [f"m{i}" for i in range(20)]
        a, b = (
            side(*(score(v, name=m) for v, m in zip(column, names, strict=True)))
            for column in values.T
        )
        wrong += compare(a, b).verdict == "differs"
    assert wrong <= 8


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("shapes-net@aaaa", "shapes-net@cccc"), "feat is shapes-net@aaaa in A"),
        (("n:64", "n:128"), "n is 64 in A and 128 in B"),
        (("reference@bbbb", "reference@dddd"), "ref is shapes16-reference@bbbb in A"),
        (("|v1|", "|v2|"), "version is v1 in A and v2 in B"),
        (("|dtype:f32", "|dtype:f32|k:3"), "k is none in A and 3 in B"),
    ],
)
def test_unlike_signatures_are_refused_and_the_field_is_named(change, field):
    with pytest.raises(UnlikeError, match="are not compared") as refused:
        compare(side(score()), side(score(signature=SIGNATURE.replace(*change))))
    assert field in str(refused.value)
    assert refused.value.exit_code == 2


def test_unlike_metrics_may_be_left_out():
    other = score(name="kid", signature=SIGNATURE.replace("fid", "kid"))
    a = side(score(), other)
    b = side(score(), other.model_copy(update={"signature": "kid|v1|n:7"}))
    with pytest.raises(UnlikeError, match="kid"):
        compare(a, b)
    assert [row.name for row in compare(a, b, metrics=["fid"]).rows] == ["fid"]


def test_cells_are_matched_without_the_model_when_each_side_has_one():
    a = side(score(), cells=["old/shapes/ddim-10/g1/s0", "old/shapes/ddim-50/g1/s0"])
    b = side(score(), cells=["new/shapes/ddim-50/g1/s0", "new/shapes/ddim-99/g1/s0"])
    found = compare(a, b)
    assert [(r.cell_a, r.cell_b) for r in found.rows] == [
        ("old/shapes/ddim-50/g1/s0", "new/shapes/ddim-50/g1/s0")
    ]
    assert [note.partition(":")[0] for note in found.notes] == [
        "only in A", "only in A", "one training seed on each side"
    ]  # fmt: skip


def test_cells_are_matched_without_the_steps_when_each_side_has_one():
    a = side(score(), cells=["x/shapes/ddim-10/g1/s0", "y/shapes/ddim-10/g1/s0"])
    b = side(score(), cells=["x/shapes/ddim-50/g1/s0", "y/shapes/ddim-50/g1/s0"])
    assert len(compare(a, b).rows) == 2


def test_nothing_in_common_is_refused():
    a = side(score(), cells=["x/shapes/ddim-10/g1/s0", "y/shapes/ddim-10/g1/s0"])
    b = side(score(), cells=["v/shapes/ddim-10/g1/s0", "w/shapes/ddim-10/g1/s0"])
    with pytest.raises(InputError, match="no score in common"):
        compare(a, b)
    with pytest.raises(InputError, match="no score of kid in common"):
        compare(side(score()), side(score()), metrics=["kid"])


def test_failed_cells_leave_it_undecided():
    found = compare(side(score()), side(status="failed"))
    assert found.verdict == "undecided"
    assert "failed in B: ldm/shapes/ddim-10/g1/s0: it broke" in found.notes


def test_replicates_are_read_from_the_first_store_that_has_them(tmp_path):
    for name, value in (("one", 1.0), ("two", 2.0)):
        folder = tmp_path / name / "scores" / f"only-{name}"
        folder.mkdir(parents=True)
        np.savez(folder / "replicates.npz", fid=np.full(200, value))
    read = stored_replicates(tmp_path / "one", tmp_path / "two")
    assert read(score(key="only-two"))[0] == 2.0
    assert read(score(key="only-one", name="rfid"))[0] == 1.0
    assert read(score(key="neither")) is None
    folder = tmp_path / "one/scores/pairs"
    folder.mkdir()
    np.savez(folder / "replicates.npz", psnr=np.full(200, 3.0), truth_own=np.full(200, 4.0))
    assert read(score(key="pairs", name="truth_psnr"))[0] == 3.0
    assert read(score(key="pairs", name="truth_own"))[0] == 4.0
    assert read(score(key="pairs", name="truth_ssim")) is None
    assert read(score(key="only-one", name="kid")) is None
    damaged = tmp_path / "one/scores/only-one/replicates.npz"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    assert read(score(key="only-one")) is None


def test_an_id_is_read_as_axes():
    made = cell(
        "ldm[f=4,train_seed=1]/shapes[texture=fine]/ddim-10-eta0.5@0.2[timesteps=own]/g2/s3"
    )
    assert axes_of(made) == {
        "model": "ldm", "f": "4", "train_seed": "1", "dataset": "shapes", "data.texture": "fine",
        "sampler": "ddim", "steps": "10", "eta": "0.5", "progress": "0.2", "timesteps": "own",
        "guidance": "2", "seed": "3", "size": "1",
    }  # fmt: skip
    odd = cell("a[b/c]d]/x/what ever")
    assert axes_of(odd.model_copy(update={"model": "a[b/c]d]", "dataset": "x"})) == {
        "model": "a[b/c]d]", "dataset": "x", "sampling": "what ever",
    }  # fmt: skip


def test_cells_are_matched_over_every_axis_but_those_of_one_value():
    def ids(sampler, steps):
        return [f"ldm[f={f}]/shapes/{sampler}-{s}/g1/s0" for f in (4, 8) for s in steps]

    a = side(score(), cells=ids("ddim", (10, 50)))
    b = side(score(10.5), cells=ids("dpm++", (50, 10, 20)))
    found = compare(a, b)
    assert [(r.cell_a, r.cell_b) for r in found.rows] == list(
        zip(ids("ddim", (10, 50)), ids("dpm++", (10, 50)), strict=True)
    )
    assert len(found.notes) == 1
    (mean,) = found.means
    assert (mean.difference, mean.n) == (0.5, 4 * 64)
    assert "errors count as shared" in mean.method
    row = found.rows[0]
    assert (mean.low, mean.high) == (pytest.approx(row.low), pytest.approx(row.high))


def test_a_cell_that_fits_several_is_refused():
    a = side(score(), cells=["ldm[f=1]/shapes/ddim-10/g1/s0"])
    b = side(score(), cells=[f"ldm[f=4,reg={r}]/shapes/ddim-10/g1/s0" for r in ("kl", "vq")])
    with pytest.raises(InputError, match="no score in common"):
        compare(a, b)
    b = side(score(), cells=["ldm[f=4,reg=kl]/shapes/ddim-10/g1/s0"])
    assert len(compare(a, b).rows) == 1
    assert one_axis(a.records, b.records, ("A", "B")) == "f"


def test_the_best_is_held_against_all_others_in_pairs():
    common = draws(0)
    made = {k: 10 + common + 0.05 * draws(i) for i, k in enumerate("abc", start=1)}
    scores = [score(10.0 + gap, key=k) for gap, k in zip((0.05, 0, 0.5), "abc", strict=True)]
    records = [
        Record(run="r", cell=cell(f"{k}/shapes/ddim-10/g1/s0"), status="done", scores=(s,))
        for k, s in zip("abc", scores, strict=True)
    ]
    (rivals,) = standings(records, lambda s: made[s.replicates], {"fid": "lower"}.get)
    assert rivals.best[0] is records[1]
    assert [row.verdict for row in rivals.rows] == ["same", "differs"]
    assert rivals.undistinguished == 1
    (apart,) = standings(records, lambda s: None, {"fid": "lower"}.get)
    assert apart.undistinguished == 2
    assert not list(standings(records, made.get, {}.get))
