"""FDr: ratios of Frechet distances, against FD-loss's own results and scipy."""

import numpy as np
import pytest
from scipy import linalg

from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.catalog.normalisers import NORMALISERS
from ldmbench.errors import InputError
from ldmbench.metrics import bootstrap, fdr
from ldmbench.metrics.ratio import ratio_family

SPACES = list(NORMALISERS)
# raw distances -> what FD-loss's own function returns, arXiv:2604.28190
GOLDEN = [
    ((1.68, 56.87, 14.19, 0.04, 0.60, 5.60), 1.0),
    ((2.1, 80.0, 60.5, 0.2, 1.5, 9.0), 2.6712376371073687),
    ((1.7, 50.0), None),
]


@pytest.mark.golden
@pytest.mark.parametrize(("raw", "result"), GOLDEN)
def test_fdr6_is_fd_losss(raw, result):
    found = fdr(dict(zip(SPACES, raw, strict=False)))
    assert found == (None if result is None else pytest.approx(result, rel=1e-12))


def test_printed_normalisers_are_of_extractors_that_there_are():
    assert set(NORMALISERS) <= EXTRACTORS.keys()
    assert len(NORMALISERS) == 6


def theirs(x, y):
    """The distance by scipy's root."""
    s, t = np.cov(x.T), np.cov(y.T)
    apart = x.mean(0) - y.mean(0)
    return apart @ apart + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)


def sides(seed, width=6):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(0.4, 1.2, (300, width)),
        rng.normal(0.0, 1.0, (400, width)),
        rng.normal(0.0, 1.0, (250, width)),
    )


def test_the_mean_over_spaces_and_its_interval():
    spaces = [sides(1), sides(2, 9)]
    found = ratio_family(spaces, fdr_extractors=["a", "b"])["fdr"]
    expected = np.mean([theirs(x, y) / theirs(v, y) for x, y, v in spaces])
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.low < found.value < found.high
    assert len(found.replicates) == 200
    assert "2 spaces, validation images fixed" in found.method


def test_the_interval_is_as_wide_as_new_draws_of_samples_and_reference():
    *_, unseen = sides(0)
    draws = [bootstrap("fdr", *sides(seed)[:2], unseen) for seed in range(60)]
    spread = np.std([d.value for d in draws])
    half = np.median([(d.high - d.low) / 2 / 1.96 for d in draws])
    assert 0.7 < half / spread < 1.4


@pytest.mark.golden
def test_printed_normalisers_only_divide():
    x, y, _ = sides(3)
    found = ratio_family(
        [(x, y, None)], fdr_extractors=["mae-vit-l-16-fd-loss"], fdr_normalisers="printed"
    )["fdr"]
    fid = bootstrap("fid", x, y)
    assert found.value == pytest.approx(fid.value / 0.04, rel=1e-9)
    np.testing.assert_allclose(found.replicates, fid.replicates / 0.04, rtol=1e-6)


def test_what_is_refused():
    x, y, _ = sides(4)
    with pytest.raises(InputError, match="no normaliser is printed for shapes-net"):
        ratio_family([(x, y, None)], fdr_extractors=["shapes-net"], fdr_normalisers="printed")
    with pytest.raises(InputError, match="no validation images of a"):
        ratio_family([(x, y, None)], fdr_extractors=["a"])
    with pytest.raises(InputError, match="other images than the reference"):
        ratio_family([(x, y, y)], fdr_extractors=["a"])
    with pytest.raises(InputError, match="above 0"):
        fdr({"a": 1.0}, {"a": 0.0})
