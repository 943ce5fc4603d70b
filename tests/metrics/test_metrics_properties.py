"""What must hold for any features: invariances, merging, block sizes, one-sentence errors."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import ldmbench.metrics as room
from ldmbench.errors import InputError
from ldmbench.metrics import (
    Moments,
    bootstrap,
    clip_score,
    density_coverage,
    fd_infinity,
    frechet_distance,
    inception_score,
    kernel_distance,
    memorization,
    moments,
    precision_recall,
    psnr,
    spatial_features,
    ssim,
    vendi_score,
)
from ldmbench.metrics.blocks import sweep, tables
from ldmbench.metrics.families import neighbours_family
from ldmbench.metrics.kernel import KernelSums
from ldmbench.metrics.manifold import BallCount
from ldmbench.metrics.neighbours import NearestSearch

quick = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**31)


def draw(seed, n, d, shift=0.0, dtype=np.float32):
    return (np.random.default_rng(seed).standard_normal((n, d)) + shift).astype(dtype)


def test_exports_are_sorted():
    assert room.__all__ == sorted(room.__all__)
    assert all(hasattr(room, name) for name in room.__all__)


def test_torch_is_not_imported():
    code = "import sys, ldmbench.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tensors_come_in():
    torch = pytest.importorskip("torch")
    x, y = draw(0, 50, 8), draw(1, 60, 8)
    tx, ty = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)
    assert frechet_distance(tx, ty) == frechet_distance(x, y)
    assert precision_recall(tx, ty) == precision_recall(x, y)
    half = frechet_distance(tx.bfloat16(), ty)
    assert half == pytest.approx(frechet_distance(x, y), rel=0.1)


@quick
@given(seeds, st.lists(st.integers(1, 40), min_size=2, max_size=6))
def test_moments_merge_in_any_order(seed, sizes):
    x = draw(seed, sum(sizes) + 2, 5, 100.0, np.float64)
    cuts = np.cumsum([2, *sizes])[:-1]
    first, *rest = np.split(x, cuts)
    forward = moments(first)
    for batch in rest:
        forward = forward.update(batch)
    whole = moments(x)
    assert forward.n == whole.n == len(x)
    np.testing.assert_allclose(forward.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(forward.cov, whole.cov, atol=1e-11)
    np.testing.assert_allclose(whole.cov, np.cov(x.T), atol=1e-11)
    if len(x) > 8:
        a, b, c = moments(x[:3]), moments(x[3:6]), moments(x[6:])
        left, right = a.merge(b).merge(c), a.merge(b.merge(c))
        np.testing.assert_allclose(left.cov, right.cov, atol=1e-11)


@quick
@given(seeds, st.integers(2, 60), st.integers(1, 40))
def test_frechet_of_a_set_with_itself_is_zero(seed, n, d):
    x = draw(seed, n, d, 3.0)
    assert abs(frechet_distance(x, x)) < 1e-9 * (1 + d)
    assert abs(frechet_distance(moments(x), x)) < 1e-6


@quick
@given(seeds, st.integers(2, 40), st.integers(2, 40), st.integers(1, 30))
def test_frechet_is_symmetric_and_blind_to_order(seed, n, m, d):
    x, y = draw(seed, n, d, 0.5), draw(seed + 1, m, d)
    value = frechet_distance(x, y)
    assert value == pytest.approx(frechet_distance(y, x), rel=1e-8, abs=1e-8)
    shuffled = np.random.default_rng(seed).permutation(n)
    assert value == pytest.approx(frechet_distance(x[shuffled], y), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(50, 400), (400, 50), (50, 60)])
def test_frechet_of_short_sets_is_the_nuclear_norm(n, m):
    x, y = draw(0, n, 100, 0.1), draw(1, m, 100)
    a, b = x.astype(float) - x.mean(0, dtype=float), y.astype(float) - y.mean(0, dtype=float)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt((n - 1) * (m - 1))
    delta = x.mean(0, dtype=float) - y.mean(0, dtype=float)
    expected = delta @ delta + (a**2).sum() / (n - 1) + (b**2).sum() / (m - 1) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(moments(x), moments(y)) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_a_constant_set():
    y = draw(0, 300, 20)
    x = np.full((10, 20), 0.1, dtype=np.float32)
    expected = ((0.1 - y.mean(0, dtype=float)) ** 2).sum() + np.trace(np.cov(y.T.astype(float)))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-7)


def brute(x, y, k, rule):
    x, y = x.astype(float), y.astype(float)
    inside = np.less_equal if rule == "le" else np.less
    rx, ry = (np.sort(cdist(s, s), axis=1)[:, k] for s in (x, y))
    d = cdist(x, y)
    balls = inside(d, ry)
    return balls.any(1).mean(), inside(d, rx[:, None]).any(0).mean(), balls.sum() / k / len(x), (
        balls.any(0).mean()
    )  # fmt: skip


@quick
@given(seeds, st.integers(6, 60), st.integers(6, 60), st.sampled_from(["le", "lt"]))
def test_manifold_on_a_lattice_full_of_ties(seed, n, m, rule):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 3, (n, 2)), rng.integers(0, 3, (m, 2))
    pr, dc = precision_recall(x, y, k=3, rule=rule), density_coverage(x, y, k=3, rule=rule)
    found = (pr.precision, pr.recall, dc.density, dc.coverage)
    assert found == pytest.approx(brute(x, y, 3, rule), abs=1e-12)


@pytest.mark.parametrize("d", [300, 8])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_manifold_in_single_precision_decides_as_double(d, offset):
    x, y = draw(2, 300, d, offset), draw(3, 320, d, offset)
    y[40:70] = y[0]
    x[:9] = y[5:14]
    for rule in ("le", "lt"):
        pr, dc = precision_recall(x, y, rule=rule), density_coverage(x, y, k=3, rule=rule)
        found = (pr.precision, pr.recall, dc.density, dc.coverage)
        assert found == pytest.approx(brute(x, y, 3, rule), abs=1e-12)


@pytest.mark.parametrize("d", [20, 300])
@pytest.mark.parametrize(("block", "workers"), [(7, 1), (64, 3), (1000, 2)])
def test_block_size_and_workers_do_not_matter(d, block, workers):
    x, y = draw(4, 150, d, 0.1), draw(5, 170, d)
    first, second = tables(x, y)
    members = np.ones((170, 1), dtype=first.dtype)
    search, sums = NearestSearch(second, (3,)), KernelSums(members, None)
    sweep(second, None, [sums, search], block=block, workers=workers)
    hood = search.finish()
    exact = np.sort(cdist(y.astype(float), y.astype(float)), axis=1)[:, 3] ** 2
    np.testing.assert_allclose(hood.squared[3], exact, rtol=1e-12)
    kernel = (y.astype(float) @ y.T.astype(float) / d + 1) ** 3
    np.fill_diagonal(kernel, 0)
    np.testing.assert_allclose(sums.by_row, kernel.sum(0), rtol=2e-6)
    np.testing.assert_allclose(sums.total, kernel.sum(), rtol=2e-7)
    balls = BallCount(first, second, hood, 3, "le")
    sweep(first, second, [balls], block=block, workers=workers)
    share = (balls.per_point > 0).mean()
    assert share == precision_recall(x, y).precision


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e15])
def test_manifold_at_any_scale_of_float32(scale):
    x, y = (draw(s, 90, 300) * np.float32(scale) for s in (2, 3))
    pr, dc = precision_recall(x, y), density_coverage(x, y, k=3)
    wide = brute(x / np.float64(scale), y / np.float64(scale), 3, "le")
    assert (pr.precision, pr.recall) == pytest.approx(wide[:2], abs=1e-12)
    strict = brute(x / np.float64(scale), y / np.float64(scale), 3, "lt")
    assert (dc.density, dc.coverage) == pytest.approx(strict[2:], abs=1e-12)


@pytest.mark.parametrize("kind", [bool, np.int8, np.int64, np.float16, np.longdouble])
def test_any_real_type_is_taken_for_what_it_is(kind):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 2, (n, 9)).astype(kind) for n in (60, 70))
    wide = [v.astype(np.float64) for v in (x, y)]
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(*wide), rel=1e-9)
    assert precision_recall(x, y) == precision_recall(*wide)
    strided = [np.repeat(v, 2, axis=1)[::-1, ::2][::-1] for v in wide]
    assert density_coverage(*strided) == density_coverage(*wide)


def test_moments_of_batches_far_apart():
    x = draw(20, 9000, 5, dtype=np.float64)
    x[:4096] += 1e6
    np.testing.assert_allclose(moments(x).cov, np.cov(x.T), rtol=1e-9)
    np.testing.assert_allclose(moments(x).mean, x.mean(0), rtol=1e-12)


def test_kernel_forms_agree():
    x, y = draw(6, 400, 300, 0.05), draw(7, 380, 300)
    few = kernel_distance(x, y, subsets=3, subset_size=50)
    many = kernel_distance(x, y, subsets=100, subset_size=300)
    rng = np.random.RandomState(2020)
    for found, subsets, size in ((few, 3, 50), (many, 100, 300)):
        rng = np.random.RandomState(2020)
        values = []
        for _ in range(subsets):
            a = x[rng.choice(400, size, replace=False)].astype(float)
            b = y[rng.choice(380, size, replace=False)].astype(float)
            kaa, kbb, kab = ((p @ q.T / 300 + 1) ** 3 for p, q in ((a, a), (b, b), (a, b)))
            inner = kaa.sum() - np.trace(kaa) + kbb.sum() - np.trace(kbb)
            values.append(inner / size / (size - 1) - 2 * kab.mean())
        assert found.mean == pytest.approx(np.mean(values), abs=1e-7)
        assert found.std == pytest.approx(np.std(values), abs=1e-7)


@quick
@given(seeds)
def test_kernel_and_manifold_are_blind_to_order(seed):
    x, y = draw(seed, 60, 6, 0.3), draw(seed + 1, 50, 6)
    p, q = (np.random.default_rng(seed).permutation(n) for n in (60, 50))
    full = kernel_distance(x, y, subsets=None).mean
    assert full == pytest.approx(kernel_distance(x[p], y[q], subsets=None).mean, abs=1e-10)
    assert precision_recall(x, y) == precision_recall(x[p], y[q])
    assert density_coverage(x, y) == density_coverage(x[p], y[q])


def test_fd_infinity_removes_bias():
    x, y = draw(8, 4000, 32), draw(9, 60000, 32)
    far = fd_infinity(x, moments(y), seed=1)
    assert far == fd_infinity(x, moments(y), seed=1)
    assert far.slope > 0
    assert abs(far.value) < 0.2 * frechet_distance(x, y)


def test_vendi_score():
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    assert vendi_score(np.ones((5, 3))) == pytest.approx(1)
    x = draw(10, 30, 10)
    assert vendi_score(x) == pytest.approx(vendi_score(3 * np.hstack([x, 0 * x, 0 * x, 0 * x])))
    with pytest.raises(InputError, match="zeros"):
        vendi_score(np.zeros((3, 2)))


def test_memorization():
    train, held, fresh = (draw(s, 400, 16) for s in (11, 12, 13))
    honest = memorization(fresh, train, held)
    assert abs(honest.z) < 3
    assert honest.share == pytest.approx(0.5, abs=0.06)
    copied = memorization(train[:100] + 1e-3, train, held)
    assert copied.share > 0.99
    assert copied.z > 10
    assert copied.copies == 0
    assert memorization(train[:100], train, held).copies == 100


def test_spatial_features():
    maps = draw(14, 60, 9 * 4).reshape(60, 9, 2, 2)
    flat = spatial_features(maps)
    assert flat.shape == (60, 28)
    np.testing.assert_array_equal(flat[3], maps[3, :7].ravel())
    with pytest.raises(InputError):
        spatial_features(maps[:, :3])


def test_bootstrap_by_name():
    x, y = draw(15, 60, 8), draw(16, 70, 8)
    assert bootstrap("fid", x, y).value == pytest.approx(frechet_distance(x, y))
    assert bootstrap("kid", x, y, subsets=10).low is not None
    with pytest.raises(InputError, match="did you mean 'fid'"):
        bootstrap("fiid", x, y)


def test_clip_score_keeps_negatives():
    x = draw(17, 5, 4)
    np.testing.assert_allclose(clip_score(x, -7 * x), -100)
    np.testing.assert_allclose(clip_score(1e-30 * x, x), 100, rtol=1e-6)


GOOD = draw(0, 40, 4)
NAN = np.where(np.arange(160).reshape(40, 4) == 50, np.nan, GOOD)
INF = np.where(np.arange(160).reshape(40, 4) == 50, np.inf, GOOD)
BAD = [
    *((f, (a, b)) for f in (frechet_distance, kernel_distance, precision_recall, density_coverage)
      for a, b in ((NAN, GOOD), (GOOD, INF), (GOOD, GOOD[:, :3]), (GOOD[0], GOOD),
                   (GOOD[:0], GOOD), (GOOD[:1], GOOD), (GOOD, np.array([["a"] * 4] * 9)))),
    (precision_recall, (GOOD[:3], GOOD)), (density_coverage, (GOOD, GOOD[:5])),
    (kernel_distance, (GOOD, GOOD)), (moments, (NAN,)), (moments, (GOOD[:1],)),
    (inception_score, (NAN,)), (inception_score, (GOOD[:9],)),
    (clip_score, (GOOD, GOOD[:9])), (clip_score, (0 * GOOD, GOOD)), (clip_score, (NAN, GOOD)),
    (psnr, (GOOD, GOOD)), (ssim, (np.zeros((1, 8, 8, 3), np.uint8),) * 2),
    (psnr, (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 9, 3), np.uint8))),
    (frechet_distance, (moments(GOOD), moments(GOOD[:, :3]))), (fd_infinity, (GOOD[:9], GOOD)),
    (memorization, (GOOD, GOOD, GOOD[:, :2])), (Moments, (0, np.zeros(2), np.eye(2))),
    (Moments, (5, np.zeros(2), np.eye(3))), (Moments, (5, np.zeros(2), np.full((2, 2), np.nan))),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "inputs"), BAD)
def test_wrong_input_gets_one_sentence(metric, inputs):
    with pytest.raises(InputError) as caught:
        metric(*inputs)
    text = str(caught.value)
    assert "\n" not in text
    assert 20 < len(text) < 220


@pytest.mark.parametrize(
    "call",
    [
        lambda: precision_recall(GOOD, GOOD, rule="eq"),
        lambda: precision_recall(GOOD, GOOD, k=0),
        lambda: kernel_distance(GOOD, GOOD, subset_size=41),
        lambda: kernel_distance(GOOD, GOOD, subset_size=10, subsets=0),
        lambda: inception_score(GOOD, splits=0),
        lambda: ssim(*(np.zeros((1, 16, 16, 3), np.uint8),) * 2, convention="skimage"),
        lambda: precision_recall(GOOD, GOOD, k=2.5),
        lambda: precision_recall(moments(GOOD), GOOD),
        lambda: kernel_distance(GOOD, GOOD, subset_size=20.5),
        lambda: kernel_distance(GOOD, GOOD, subset_size=20, seed=-1),
        lambda: inception_score(GOOD, shuffle_seed=-1),
        lambda: inception_score(GOOD, splits=2.5),
        lambda: fd_infinity(GOOD, GOOD, points=2.5),
        lambda: frechet_distance([[1.0, 2.0], [3.0]], GOOD),
        lambda: frechet_distance(GOOD.astype(float) * 1e200, GOOD),
        lambda: kernel_distance(GOOD.astype(float) * 1e60, GOOD, subset_size=20),
        lambda: moments(GOOD).merge(3),
        lambda: Moments("a", np.zeros(2), np.eye(2)),
        lambda: Moments(5, "a", np.eye(2)),
        lambda: frechet_distance(Moments(5, np.zeros(4), -np.eye(4)), GOOD),
        lambda: frechet_distance(Moments(1, np.zeros(4), np.eye(4)), GOOD),
        lambda: frechet_distance(GOOD, Moments(9, np.zeros(4), np.where(np.eye(4), 1.0, 1.0001))),
        lambda: Moments(9, np.zeros(4), np.eye(4, dtype=np.float16)),
        lambda: moments(np.ma.masked_greater(GOOD, 1.0)),
        lambda: psnr(*(np.zeros((2, 3, 16, 16), np.uint8),) * 2),
    ],
)
def test_wrong_options_get_one_sentence(call):
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_covariance_of_few_samples_is_one(dtype):
    """Rounding puts eigenvalues of 0 below 0; in float32 as far as its last digit goes."""
    rows = np.random.default_rng(0).normal(3, 2, size=(10, 200)) * np.geomspace(1, 1e-3, 200)
    cov = np.cov(rows.astype(dtype), rowvar=False, dtype=dtype)
    assert np.linalg.eigvalsh(cov.astype(float)).min() < 0
    known = frechet_distance(GOOD.repeat(50, axis=1), Moments(10, rows.mean(0), cov))
    exact = frechet_distance(GOOD.repeat(50, axis=1), rows)
    assert known == pytest.approx(exact, rel=1e-12 if dtype is np.float64 else 1e-4)


def test_grey_batches_are_batches():
    """(N, H, W) is N grey images; (H, W, 3) is one image in colour; W of 1 or 4 is either."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 6, 16, 20), dtype=np.uint8)
    for measure in (psnr, ssim):
        np.testing.assert_array_equal(measure(a, b), measure(a[..., None], b[..., None]))
        assert measure(*(np.stack([x[0]] * 3, axis=-1) for x in (a, b))).shape == (1,)
        for width in (1, 4):
            with pytest.raises(InputError, match="may be one image or 6 grey ones"):
                measure(a[..., :width], b[..., :width])


def test_memorization_finds_the_copy_among_near_duplicates():
    """Float32 products cannot tell a copy from its near-duplicates; the differences can."""
    rng = np.random.default_rng(0)
    bases = np.repeat(rng.normal(size=(40, 512)), 10, axis=0)
    train = (bases + 1e-4 * rng.normal(size=bases.shape)).astype(np.float32)
    other = rng.normal(size=(50, 512)).astype(np.float32)
    assert tables(train, other)[0].dtype == np.float32
    assert memorization(train[::7], train, other).copies == len(train[::7])


def test_bootstrap_takes_a_metrics_own_options():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 8)), rng.normal(size=(50, 8))
    dense = density_coverage(x, y, k=10, rule="le")
    for name, value in (("density", dense.density), ("coverage", dense.coverage)):
        assert bootstrap(name, x, y, k=10, rule="le").value == value
    assert bootstrap("kid", x[:2], y[:2], subset_size=2).n == 2


def test_a_reference_that_was_seen_before_gives_the_same_numbers():
    rng = np.random.default_rng(0)
    y, kept = rng.normal(size=(70, 8)), {}
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(60, 8))
        again = neighbours_family(x, y, kept=kept)
        alone = neighbours_family(x, y)
        for name, found in alone.items():
            assert again[name].value == found.value
            np.testing.assert_array_equal(again[name].replicates, found.replicates)
    assert len(kept) == 1
