"""Errors over training seeds and sample seeds: components, intervals, differences of groups."""

import math

import numpy as np
import pytest
from scipy import stats

from ldmbench.records.groups import difference_error
from ldmbench.records.spread import Block, Error, error_of, spread_of

VALUES = np.array([[10.0, 10.4], [12.0, 12.2], [11.0, 11.9]])


def block(values, error=0.3, replicates=None, start=0):
    a, b = np.shape(values)
    names = tuple(map(str, range(start, start + a))), tuple(map(str, range(b)))
    return Block(*names, np.array(values, float), np.full((a, b), float(error)), replicates)


def test_components_are_those_of_a_crossed_layout():
    found = spread_of(block(VALUES))
    rows, columns = VALUES.mean(1), VALUES.mean(0)
    left = VALUES - rows[:, None] - columns + VALUES.mean()
    residual = (left**2).sum() / 2
    assert found.sd_training.value == pytest.approx(math.sqrt(rows.var(ddof=1) - residual / 2))
    assert found.sd_sampling.value == pytest.approx(math.sqrt(VALUES.var(axis=1, ddof=1).mean()))
    assert found.training.value == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(rows))
    assert found.sampling.value == pytest.approx(stats.t.ppf(0.975, 1) * stats.sem(columns))
    assert found.sampling.freedom == 1
    t, s = found.sd_training.value**2, found.sd_sampling.value**2
    assert found.share == pytest.approx(t / (t + s))
    f = rows.var(ddof=1) / stats.f.ppf([0.975, 0.025], 2, 2)
    ends = [math.sqrt(max(0, end - residual / 2)) for end in f]
    assert (found.sd_training.low, found.sd_training.high) == pytest.approx(ends)


def test_replicates_tell_what_trainings_share_of_sampling():
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=4000), 0.5 * rng.normal(size=(3, 1, 4000))
    made = block(VALUES[:, :1], 1.1, VALUES[:, :1, None] + common + own)
    found = spread_of(made)
    assert found.images.value == pytest.approx(1.96 * math.sqrt(1 + 0.25 / 3), rel=0.05)
    between = VALUES[:, 0].var(ddof=1)
    assert found.sd_training.value == pytest.approx(math.sqrt(between - 0.25), rel=0.03)
    wide = math.hypot(stats.t.ppf(0.975, 2) * math.sqrt(between / 3), 1.96)
    assert found.both.value == pytest.approx(wide, rel=0.03)


def test_few_seeds_have_no_value_and_say_so():
    one = spread_of(block([[10.0]]))
    assert one.training.reason == one.both.reason == "needs at least 2 training seeds"
    assert one.sampling.reason == "needs at least 2 sample seeds"
    assert one.sd_training.value is one.share is None
    bare = spread_of(block([[10.0], [11.0]], math.nan))
    assert bare.training.value == pytest.approx(12.7062 * 0.5, rel=1e-4)
    assert bare.both.reason == "needs at least 2 sample seeds, or an interval of every cell"


def test_equal_trainings_have_no_error_by_training():
    found = spread_of(block(np.full((3, 2), 5.0), 0.0))
    assert (found.training.value, found.both.value, found.sd_training.value) == (0, 0, 0)
    assert found.share is None


def test_the_p_value_belongs_to_the_interval():
    error = Error(0.5, 3.0, 0.2)
    for level in (0.5, 0.95, 0.999):
        assert error.p_value(error.half(level)) == pytest.approx(1 - level, rel=1e-6)
    alone = Error(1.0, 4.0)
    assert alone.p_value(-3.0) == pytest.approx(2 * stats.t.sf(3, 4), rel=1e-6)
    assert (alone.p_value(0.0), Error(0.0, 2.0).p_value(1.0)) == (1.0, 0.0)


def test_trainings_of_common_seeds_are_paired():
    a, b = block(VALUES), block(np.add(VALUES, [[0.5], [0.6], [0.4]]))
    gap, error, how = difference_error(a, b)
    assert gap == pytest.approx(0.5)
    assert error.half(0.95) == pytest.approx(stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3))
    assert "paired by training seed, t with 2 degrees of freedom" in how


def test_trainings_of_other_seeds_are_held_apart_as_welch_does():
    a, b = (
        block(VALUES[:, :1], 0.0),
        block(np.add(VALUES[:, :1], [[0.5], [2.6], [0.4]]), 0.0, start=7),
    )
    gap, error, how = difference_error(a, b)
    welch = stats.ttest_ind(b.values[:, 0], a.values[:, 0], equal_var=False)
    assert error.p_value(gap) == pytest.approx(welch.pvalue, rel=1e-6)
    assert "trainings unpaired" in how


def test_one_training_each_says_what_the_interval_is_not():
    _, error, how = difference_error(block([[10.0]]), block([[11.0]]))
    assert error.half(0.95) == pytest.approx(1.96 * 0.3 * math.sqrt(2), rel=1e-3)
    assert how.endswith("one training each")
    _, none, why = difference_error(block([[10.0]], start=5), block(VALUES))
    assert none is None
    assert "training seeds need 2 on each side" in why


def test_what_trainings_share_is_added_once():
    error = error_of([block(VALUES)], 4.0)
    assert error.shared == pytest.approx(4.0 - block(VALUES).own_sampling / 3)


def test_replicates_that_do_not_move_leave_the_interval_its_width():
    still = np.zeros((2, 2, 50))
    made = Block(("0", "1"), ("0", "1"), np.zeros((2, 2)), np.full((2, 2), 0.1), still)
    found = spread_of(made)
    assert found.images.value == pytest.approx(1.96 * 0.05, rel=1e-3)
    assert found.both.value == pytest.approx(1.96 * math.sqrt(0.1**2 / 4), rel=1e-3)
    _, error, _ = difference_error(made, made)
    assert error.half(0.95) == pytest.approx(1.96 * 0.05 * math.sqrt(2), rel=1e-3)
