"""The arithmetic: quantiles, joint errors, the spread between runs, coverage."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from ldmbench.gate.interval import Number, Spread, change, number, pooled, quantile


@pytest.mark.parametrize("freedom", [0.6, 1, 1.3, 1.5, 2, 2.4, 2.5, 3, 4.2, 7.5, 100, math.inf])
@pytest.mark.parametrize("p", [0.9, 0.975, 0.9975, 0.99975])
def test_quantiles_of_students_t(freedom, p):
    """The density, integrated up to the quantile, is the probability, at whole degrees or not."""
    at = quantile(p, freedom)
    density = stats.norm.pdf if math.isinf(freedom) else stats.t(freedom).pdf
    parts = [0.0, *(edge for edge in (1.0, 10.0, 100.0, 1000.0) if edge < at), at]
    inside = sum(integrate.quad(density, *ends)[0] for ends in pairwise(parts))
    assert 0.5 + inside == pytest.approx(p, abs=1e-7)
    if freedom == 1:
        assert at == pytest.approx(math.tan(math.pi * (p - 0.5)))


def test_a_number_takes_the_larger_of_interval_and_spread():
    found = number(1.0, 0.9, 1.0, replicates=np.array([0.8, 1.2, 0.8, 1.2]))
    assert found.down == found.up == pytest.approx(0.2309, rel=1e-3)
    bare = number(1.0, 0.902, 1.0)
    assert bare.down == pytest.approx(0.05, rel=1e-4)
    assert bare.up == 0.0


def test_identical_replicates_leave_only_the_noise():
    moves = np.random.default_rng(0).normal(size=200)
    one = Number(5.0, 1.0, 1.0, 5.0 + moves)
    two = Number(5.5, 1.0, 1.0, 5.5 + moves)
    found = change(two, [one], spread=Spread(), alpha=0.01)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    noisy = change(two, [one], spread=Spread(), noise=0.1, alpha=0.01)
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
    assert pooled([("ldm/shapes", numbers[:1])]) == Spread()


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
