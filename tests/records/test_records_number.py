"""Numbers with errors: quantiles, and what replicates tell beside an interval."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from ldmbench.records.number import correlation, number, quantile


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


def test_replicates_pair_only_where_both_sides_move():
    moves = np.random.default_rng(0).normal(size=50)
    assert correlation(moves, 2 * moves + 1)[0] == pytest.approx(1.0)
    for one, other in ((None, moves), (moves, moves[:9]), (moves, np.ones(50))):
        rho, method = correlation(one, other)
        assert rho == 0.0
        assert method.startswith("unpaired: ")
