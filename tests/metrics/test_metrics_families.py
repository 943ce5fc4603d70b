"""Families give the scores of the single functions, with intervals that compare."""

import numpy as np
import pytest

from ldmbench.errors import InputError
from ldmbench.metrics import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    moments,
    precision_recall,
)
from ldmbench.metrics.families import (
    clip_family,
    logits_family,
    moments_family,
    neighbours_family,
    pairs_family,
)
from ldmbench.metrics.resample import Replicates, replicate


def draw(seed, n, d=64, shift=0.0):
    return (np.random.default_rng(seed).standard_normal((n, d)) + shift).astype(np.float32)


def check(score: Replicates, n):
    assert score.n == n
    assert score.replicates.dtype == np.float64
    assert score.low <= score.value <= score.high
    assert len(score.replicates) == 200


@pytest.mark.parametrize(("n", "m", "size"), [(300, 400, 300), (1200, 1100, 1000)])
def test_values_are_those_of_the_functions(n, m, size):
    x, y = draw(1, n, shift=0.1), draw(2, m)
    fid = moments_family(x, y)["fid"]
    assert fid.value == pytest.approx(frechet_distance(x, y), rel=1e-12)
    found = neighbours_family(x, y)
    kid = kernel_distance(x, y, subset_size=size)
    assert found["kid"].value == pytest.approx(kid.mean, rel=1e-10)
    pr, dc = precision_recall(x, y), density_coverage(x, y)
    assert found["precision"].value == pr.precision
    assert found["recall"].value == pr.recall
    assert found["density"].value == dc.density
    assert found["coverage"].value == dc.coverage
    logits = 3 * draw(3, n, 12)
    found |= logits_family(logits) | {"fid": fid}
    assert found["inception_score"].value == inception_score(logits).mean
    for score in found.values():
        check(score, n)


def test_smoke_sizes_never_fail():
    x, y = draw(4, 32, shift=0.2), draw(5, 64)
    found = moments_family(x, y) | neighbours_family(x, y) | logits_family(x)
    assert set(found) == {
        "fid", "kid", "precision", "recall", "density", "coverage", "inception_score"
    }  # fmt: skip
    for score in found.values():
        check(score, 32)
    tiny = neighbours_family(x[:4], y[:5], density_k=None) | moments_family(x[:4], y[:5])
    assert set(tiny) == {"fid", "kid", "precision", "recall"}
    assert all(np.isfinite(score.value) for score in tiny.values())


def test_few_samples_are_refused_in_one_sentence():
    with pytest.raises(InputError, match="k = 3"):
        neighbours_family(draw(1, 3), draw(2, 30))
    with pytest.raises(InputError, match=r"k = 5 neighbours need at least 6 generated samples"):
        neighbours_family(draw(1, 5), draw(2, 30))
    with pytest.raises(InputError, match="10 splits"):
        logits_family(draw(1, 9))


def test_bootstrap_refuses_what_the_public_functions_refuse():
    from ldmbench.metrics import bootstrap

    x, y = draw(1, 5), draw(2, 30)
    for name, asked in (("density", (x, y)), ("coverage", (x, y)), ("inception_score", (x,))):
        with pytest.raises(InputError, match=r"5 samples|5 logit"):
            bootstrap(name, *asked)
    assert bootstrap("precision", x, y).value == precision_recall(x, y).precision
    assert bootstrap("recall", x, y).method.endswith("k = 3")
    with pytest.raises(InputError, match="at least 2"):
        moments_family(draw(1, 1), draw(2, 30))


def test_constant_sets_have_a_value():
    x = np.full((20, 8), 0.3, dtype=np.float32)
    found = moments_family(x, x) | neighbours_family(x, x) | logits_family(x)
    assert found["fid"].value == 0.0
    assert found["precision"].value == 1.0
    assert found["coverage"].value == 0.0
    assert all(np.isfinite(score.value) for score in found.values())


def test_replicates_are_common_to_models():
    y, x = draw(6, 500), draw(7, 400, shift=0.1)
    near = x + 0.001 * draw(8, 400)
    a, b = moments_family(x, y)["fid"], moments_family(near, y)["fid"]
    assert (a.replicates - b.replicates).std() < 0.05 * a.replicates.std()
    again = moments_family(x, y)["fid"]
    np.testing.assert_array_equal(a.replicates, again.replicates)
    other = moments_family(draw(9, 400, shift=0.1), y)["fid"]
    assert (a.replicates - other.replicates).std() > 0.2 * a.replicates.std()


def test_replicates_spread_like_the_interval():
    score = moments_family(draw(10, 600, shift=0.2), draw(11, 600))["fid"]
    half = (score.high - score.low) / 2
    assert score.replicates.std() * 1.96 == pytest.approx(half, rel=0.2)
    assert score.replicates.mean() == pytest.approx(score.value, abs=half / 3)


def test_fixed_reference():
    x, y = draw(12, 300, shift=0.1), draw(13, 5000)
    fixed = moments_family(x, moments(y))["fid"]
    both = moments_family(x, y, reference_moments=moments(y))["fid"]
    assert fixed.value == pytest.approx(both.value, rel=1e-12)
    assert fixed.high - fixed.low < both.high - both.low
    assert "fixed" in fixed.method


def reconstructed(seed, n, d, keep=0.9, noise=0.1):
    """Return features of pictures, and of what a first stage makes of them."""
    y = draw(2 * seed, n, d)
    return keep * y + noise * draw(2 * seed + 1, n, d), y


@pytest.mark.parametrize(
    ("n", "d", "keep", "noise"),
    [(200, 16, 0.9, 0.1), (200, 16, 1.0, 0.3), (100, 64, 0.9, 0.1), (60, 96, 0.9, 0.1)],
)
def test_paired_interval_is_as_wide_as_fresh_draws_spread(n, d, keep, noise):
    """A good, a middling, an ill-conditioned and a rank-deficient one."""
    pairs = [reconstructed(s, n, d, keep, noise) for s in range(60)]
    found = [moments_family(x, y, paired=True)["fid"] for x, y in pairs]
    values = np.array([score.value for score in found])
    half = np.mean([(score.high - score.low) / 2 / 1.96 for score in found])
    assert half == pytest.approx(values.std(ddof=1), rel=0.3)
    held = np.mean([score.low <= values.mean() <= score.high for score in found])
    assert held >= 0.85
    apart = moments_family(*pairs[0])["fid"]
    assert apart.high - apart.low > 6.0 * half


def test_pairs_move_the_interval_and_not_the_value():
    x, y = reconstructed(1, 300, 32)
    plain, paired = (moments_family(x, y, paired=told)["fid"] for told in (False, True))
    check(paired, 300)
    assert paired.value == plain.value
    assert "pairs" in paired.method
    exact = moments_family(y, y, paired=True)["fid"]
    assert exact.high - exact.low < 1e-9
    flat = np.full((20, 8), 0.3, dtype=np.float32)
    assert moments_family(flat, flat, paired=True)["fid"].high == 0.0


def test_two_first_stages_on_the_same_pictures_are_paired():
    """Their replicates spread apart as far as the difference of their distances does."""
    gaps, spreads, apart = [], [], []
    for s in range(60):
        x, y = reconstructed(s, 200, 16)
        other = 1.02 * x + 0.1 * draw(1000 + s, 200, 16)
        a, b = (moments_family(side, y, paired=True)["fid"] for side in (x, other))
        gaps.append(a.value - b.value)
        spreads.append((a.replicates - b.replicates).std())
        apart.append(np.hypot(a.replicates.std(), b.replicates.std()))
    assert np.mean(spreads) == pytest.approx(np.std(gaps, ddof=1), rel=0.35)
    assert np.mean(spreads) < 0.9 * np.mean(apart)


def test_what_cannot_be_pairs_is_refused():
    x, y = draw(1, 30), draw(2, 31)
    with pytest.raises(InputError, match="30 generated and 31 reference"):
        moments_family(x, y, paired=True)
    with pytest.raises(InputError, match="pair"):
        moments_family(x, moments(y), paired=True)


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 300), (200, 900, 300), (900, 200, 300)])
def test_rank_deficient_interval(n, m, d):
    """Influences on the singular path agree with what leaving one sample out does."""
    x, y = draw(14, n, d, 0.1), draw(15, m, d)
    score = moments_family(x, y)["fid"]
    check(score, n)


@pytest.mark.parametrize(("n", "m"), [(120, 90), (40, 500), (24, 30)])
def test_influence_is_the_derivative(n, m):
    from ldmbench.metrics.frechet_influence import frechet_influences

    d = 32
    x, y = draw(16, n, d, 0.3).astype(float), draw(17, m, d).astype(float)
    found = frechet_influences(x, y, moments(x), moments(y))
    base = frechet_distance(x, y)
    for side, influence in ((0, found.generated), (1, found.reference)):
        for i in (0, 5):
            both = [x, y]
            weight = np.ones(len(both[side]))
            weight[i] += 1e-5
            moved = [moments(s) for s in both]
            rows = both[side]
            mean = weight @ rows / weight.sum()
            centred = (rows - mean) * np.sqrt(weight)[:, None]
            scale = (len(rows) - 1) * weight.sum() / len(rows)
            # scaled rows of zero mean: their own moments are the weighted ones
            cov = centred.T @ centred / scale
            from ldmbench.metrics.frechet import root
            from ldmbench.metrics.moments import Moments

            moved[side] = Moments(len(rows), mean, cov)
            delta = moved[0].mean - moved[1].mean
            roots = [root(moved[s], both[s]) for s in (0, 1)]
            if len(rows) <= d:
                roots[side] = centred / np.sqrt(scale)
            trace = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
            value = delta @ delta + sum(np.trace(s.cov) for s in moved) - 2 * trace
            slope = (value - base) / 1e-5 * len(rows)
            assert influence[i] == pytest.approx(slope, abs=0.1 * influence.std())  # up to 1 / n


def test_means_of_pairs():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    b = np.clip(a.astype(int) + rng.integers(-20, 20, a.shape), 0, 255).astype(np.uint8)
    found = pairs_family(a, b) | clip_family(draw(1, 20), draw(2, 20))
    assert set(found) == {"psnr", "ssim", "clip_score"}
    for score in found.values():
        check(score, 20)
    same = pairs_family(a, a)
    assert same["psnr"].value == np.inf
    assert same["psnr"].low is None
    assert "not finite" in same["psnr"].method
    assert same["ssim"].low == same["ssim"].high == 1.0


def test_mean_interval_is_the_textbook_one():
    each = np.random.default_rng(1).standard_normal(400)
    score = replicate(float(each.mean()), each)
    assert score.high - score.value == pytest.approx(1.96 * each.std(ddof=1) / 20, rel=1e-3)


def test_report_runs_to_one():
    told = []
    neighbours_family(draw(1, 40), draw(2, 40), report=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_bad_confidence():
    with pytest.raises(InputError):
        replicate(1.0, np.arange(4.0), confidence=1.0)


def test_few_samples_have_the_same_axes_as_their_covariance():
    from ldmbench.metrics import frechet_influence as influence

    x, y = draw(20, 30, 100, 0.1), draw(21, 40, 100)
    first, second = moments(x), moments(y)
    values, axes = influence._pooled(x, y, first, second)
    whole = np.linalg.eigvalsh((first.cov + second.cov) / 2)
    np.testing.assert_allclose(values, whole[-len(values) :], rtol=1e-8)
    np.testing.assert_allclose(axes.T @ axes, np.eye(len(values)), atol=1e-8)
    short = sum(influence.second_order(x, y, first, second))
    assert short == pytest.approx(_by_covariance(influence, x, y, first, second), rel=1e-4)


def _by_covariance(influence, x, y, first, second):
    """The same from the eigenvectors of the covariance itself."""
    axes = np.linalg.eigh((first.cov + second.cov) / 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(influence, "_pooled", lambda *_: axes)
        return sum(influence.second_order(x, y, first, second))


@pytest.mark.parametrize(("n", "m"), [(120, 90), (300, 25), (25, 300)])
def test_dead_features_change_no_influence(n, m):
    from ldmbench.metrics.frechet_influence import frechet_influences

    x, y = (draw(s, size, 20, 0.2).astype(float) for s, size in ((22, n), (23, m)))
    inside = np.linalg.qr(draw(24, 48, 20).astype(float))[0].T
    plain = frechet_influences(x, y, moments(x), moments(y))
    p, q = x @ inside, y @ inside
    wide = frechet_influences(p, q, moments(p), moments(q))
    for one, other in ((plain.generated, wide.generated), (plain.reference, wide.reference)):
        np.testing.assert_allclose(other, one, atol=1e-6 * np.abs(one).max())
    fixed = frechet_influences(p, None, moments(p), moments(q))
    np.testing.assert_allclose(fixed.generated, wide.generated, atol=1e-5 * np.abs(p).max())


def test_every_measure_has_replicates():
    from ldmbench.metrics import bootstrap, fd_infinity, memorization, vendi_score

    x, y, z = draw(30, 400, 6, 0.2), draw(31, 500, 6), draw(32, 300, 6)
    far = bootstrap("fd_infinity", x, y)
    assert far.value == pytest.approx(fd_infinity(x, y).value, rel=1e-12)
    check(far, 400)
    assert bootstrap("fd_infinity", x, moments(y)).high < far.high
    vendi = bootstrap("vendi_score", x)
    assert vendi.value == pytest.approx(vendi_score(x), rel=1e-9)
    check(vendi, 400)
    wide = np.hstack([x[:5], 0 * x[:5]])
    assert bootstrap("vendi_score", wide).value == pytest.approx(vendi_score(wide), rel=1e-9)
    close = bootstrap("memorization", x, y, z)
    assert close.value == pytest.approx(memorization(x, y, z).share, rel=1e-12)
    check(close, 400)
    maps = [v.reshape(len(v), -1, 1, 1).repeat(7, 1)[:, :7] for v in (x, y)]
    check(bootstrap("sfid", *maps), 400)


@pytest.mark.parametrize(
    ("name", "draws"),
    [
        ("fd_infinity", lambda s: (draw(3 * s, 900, 4, 0.3), draw(3 * s + 1, 800, 4))),
        ("vendi_score", lambda s: (np.abs(draw(3 * s, 200, 8)),)),
        (
            "memorization",
            lambda s: (draw(3 * s, 90, 4, 0.2), draw(1, 150, 4), draw(3 * s + 2, 80, 4)),
        ),
    ],
)
def test_their_intervals_are_as_wide_as_fresh_draws_spread(name, draws):
    from ldmbench.metrics import bootstrap

    found = [bootstrap(name, *draws(s)) for s in range(60)]
    values = np.array([score.value for score in found])
    half = np.mean([(score.high - score.low) / 2 / 1.96 for score in found])
    assert half == pytest.approx(values.std(ddof=1), rel=0.3)
    held = np.mean([score.low <= values.mean() <= score.high for score in found])
    assert held >= 0.85


@pytest.mark.parametrize("centre", [0.0, 1.6, 3.0, 20.0])
def test_kid_of_long_rows_is_as_good_as_in_double(centre):
    rng = np.random.default_rng(3)
    x, y = ((rng.standard_normal((n, 256)) + centre).astype(np.float32) for n in (300, 260))
    a, b = x.astype(np.float64), y.astype(np.float64)
    drawn = np.random.RandomState(5)
    values = []
    for _ in range(3):
        i, j = (drawn.choice(len(side), 200, replace=False) for side in (a, b))
        xx, yy, xy = (
            (left @ right.T / 256 + 1) ** 3
            for left, right in ((a[i], a[i]), (b[j], b[j]), (a[i], b[j]))
        )
        inner = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
        values.append(inner / (200 * 199) - 2 * xy.mean())
    expected = pytest.approx(np.mean(values), rel=1e-6, abs=1e-7)
    assert kernel_distance(x, y, subsets=3, subset_size=200, seed=5).mean == expected
    found = neighbours_family(x, y, subsets=3, subset_size=200, seed=5)
    assert found["kid"].value == expected


@pytest.mark.parametrize("offset", [30.0, 1e3, 1e4, 1e6])
@pytest.mark.parametrize("d", [5, 300])
def test_kid_far_from_zero(d, offset):
    x, y = draw(1, 90, d, shift=offset + 0.1), draw(2, 80, d, shift=offset)
    drawn = np.random.RandomState(5)
    values = []
    for _ in range(3):
        i, j = (drawn.choice(len(side), 50, replace=False) for side in (x, y))
        a, b = x[i].astype(np.longdouble), y[j].astype(np.longdouble)
        xx, yy, xy = (
            (left @ right.T / d + 1) ** 3 for left, right in ((a, a), (b, b), (a, b))
        )  # fmt: skip
        inner = xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)
        values.append(float(inner / (50 * 49) - 2 * xy.mean()))
    found = kernel_distance(x, y, subsets=3, subset_size=50, seed=5)
    # long doubles have cancelled too at 1e6
    assert found.mean == pytest.approx(np.mean(values), rel=1e-4 if offset == 1e6 else 1e-8)
    assert found.std == pytest.approx(np.std(values), rel=1e-3 if offset == 1e6 else 1e-7)
    assert neighbours_family(x, y, subsets=3, subset_size=50, seed=5)["kid"].value == found.mean


@pytest.mark.parametrize("value", [0.1, 1e3, 1e6])
def test_kid_of_equal_constant_sets(value):
    x, y = np.full((60, 7), value), np.full((50, 7), value)
    assert kernel_distance(x, y, subset_size=20).mean == pytest.approx(0.0, abs=1e-12)
    assert kernel_distance(x, y, subsets=None).mean == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_kid_of_few_rows_of_which_one_is_long(seed):
    x, y = draw(1, 12, 9).astype(np.float64), draw(2, 12, 9).astype(np.float64)
    x[7] *= 1e4
    drawn = np.random.RandomState(seed)
    i, j = (drawn.choice(12, 9, replace=False) for _ in "xy")
    expected = kernel_distance(x[i], y[j], subsets=None).mean
    found = kernel_distance(x, y, subsets=1, subset_size=9, seed=seed)
    assert found.mean == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_kernel_interval_far_from_zero_is_as_wide_as_fresh_draws_spread():
    def kid(seed):
        x, y = (draw(2 * seed + side, 500, 64).astype(float) + 100.0 for side in (0, 1))
        return neighbours_family(x, y, density_k=None, subsets=20)["kid"]

    found = [kid(seed) for seed in range(24)]
    spread = np.std([score.value for score in found], ddof=1)
    width = np.mean([score.high - score.low for score in found]) / (2 * 1.96)
    assert 0.7 < width / spread < 1.4  # 4.3 before what a sample adds alone was taken off


def test_a_crowd_of_equal_rows_keeps_no_pair_of_them():
    """Memory stays linear: no ball of radius 0 whose next radius is 0 too has a ring around it."""
    from ldmbench.metrics.blocks import sweep, tables
    from ldmbench.metrics.engine import engine_of
    from ldmbench.metrics.manifold import BallCount, nearest

    x = np.concatenate([np.full((200, 16), 3.7, np.float32), draw(40, 20, 16)])
    y = np.concatenate([np.full((150, 16), 3.7, np.float32), draw(41, 30, 16)])
    first, second = tables(x, y, engine=engine_of(x, y))
    balls = BallCount(first, second, nearest(second, (5,)), 5, "lt", ring=True)
    sweep(first, second, [balls])
    assert len(balls.rings()[0]) < 20 * 30
    assert (balls.per_ball[:150] == 0).all()
    found = neighbours_family(x, y)
    assert found["precision"].value == pytest.approx(0.9, abs=0.1)
    assert found["density"].low <= found["density"].value <= found["density"].high


def test_positions_drawn_again_are_the_same(monkeypatch):
    from ldmbench.metrics import resample

    values = draw(50, 90, 2).astype(np.float64)
    kept = [resample.Draws().means("generated", column, 30) for column in values.T]
    monkeypatch.setattr(resample, "KEPT_POSITIONS", 0)
    draws = resample.Draws()
    for column, expected in zip(values.T, kept, strict=True):
        np.testing.assert_array_equal(draws.means("generated", column, 30), expected)
