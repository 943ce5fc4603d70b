"""The arithmetic: joint errors, the spread between runs, coverage."""

import math

import numpy as np
import pytest

from ldmbench.gating.interval import BetweenRuns, change, pooled
from ldmbench.records.number import Number, quantile


def test_identical_replicates_leave_only_the_noise():
    moves = np.random.default_rng(0).normal(size=200)
    one = Number(5.0, 1.0, 1.0, 5.0 + moves)
    two = Number(5.5, 1.0, 1.0, 5.5 + moves)
    found = change(two, [one], spread=BetweenRuns(), alpha=0.01)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    noisy = change(two, [one], spread=BetweenRuns(), noise=0.1, alpha=0.01)
    assert noisy.high - noisy.value == pytest.approx(0.1 * math.sqrt(2) * quantile(0.99))


def test_pooled_spread_takes_off_what_resampling_explains():
    rng = np.random.default_rng(3)
    groups = []
    for cell in range(40):
        numbers = []
        for _ in range(5):
            shared, own = rng.normal(size=200), rng.normal(size=200)
            value = 10 + rng.normal(scale=0.3) + rng.normal(scale=0.5)
            numbers.append(Number(value, 0.5, 0.5, value + 0.0 * shared + 0.5 * own))
        groups.append((f"model{cell}", numbers))
    found = pooled(groups)
    assert found.freedom == 160
    assert math.sqrt(found.raw) == pytest.approx(math.sqrt(0.34), rel=0.15)
    assert math.sqrt(found.variance) == pytest.approx(0.3, rel=0.3)


def test_cells_of_one_training_add_no_freedom():
    numbers = [Number(1.0, 0.1, 0.1), Number(2.0, 0.1, 0.1), Number(3.0, 0.1, 0.1)]
    assert pooled([("ldm/shapes", numbers), ("ldm/shapes", numbers)]).freedom == 2
    assert pooled([("ldm/shapes", numbers[:1])]) == BetweenRuns()


@pytest.mark.parametrize("runs", [2, 3, 6])
def test_intervals_cover_a_new_training(runs):
    """With the noise between runs unknown, a new run of the same kind lies outside as promised."""
    rng = np.random.default_rng(runs)
    alpha, trials, outside = 0.025, 1500, 0
    for _ in range(trials):
        values = rng.normal(scale=1.0, size=runs + 1)
        accepted = [Number(v, 0.05, 0.05) for v in values[:-1]]
        found = change(
            Number(values[-1], 0.05, 0.05),
            accepted,
            spread=pooled([("a", accepted)]),
            alpha=alpha,
        )
        outside += found.low > 0
    assert outside / trials < alpha + 3 * math.sqrt(alpha / trials)
