"""The reference libraries run on the same features, here and now, and give the same numbers."""

import contextlib
import io
import warnings

import numpy as np
import pytest

from ldmbench.metrics import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)

pytestmark = pytest.mark.golden


def relu(seed, n, d, bias=0.0):
    x = np.random.default_rng(seed).standard_normal((n, d))
    x[:, 1:] += 0.5 * x[:, :-1]
    return (np.maximum(x + bias, 0) * 0.4).astype(np.float32)


@pytest.fixture(scope="module")
def sets():
    return relu(0, 700, 320, 0.05), relu(1, 800, 320)


def test_torch_fidelity(sets):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc

    x, y = sets
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    stats = [metric_fid.fid_features_to_statistics(t) for t in (tx, ty)]
    fid = metric_fid.fid_statistics_to_metric(*stats, False)[metric_fid.KEY_METRIC_FID]
    assert frechet_distance(x, y) == pytest.approx(fid, rel=1e-5)
    kid = metric_kid.kid_features_to_metric(tx, ty, kid_subset_size=600, verbose=False)
    found = kernel_distance(x, y, subset_size=600)
    assert found.mean == pytest.approx(kid[metric_kid.KEY_METRIC_KID_MEAN], abs=1e-6)
    assert found.std == pytest.approx(kid[metric_kid.KEY_METRIC_KID_STD], abs=1e-6)
    prc = metric_prc.prc_features_to_metric(tx, ty, verbose=False, save_cpu_ram=False)
    pr = precision_recall(x, y)
    assert pr.precision == pytest.approx(prc[metric_prc.KEY_METRIC_PRECISION], abs=1e-6)
    assert pr.recall == pytest.approx(prc[metric_prc.KEY_METRIC_RECALL], abs=1e-6)
    isc = metric_isc.isc_features_to_metric(5 * tx)
    score = inception_score(5 * x)
    assert score.mean == pytest.approx(isc[metric_isc.KEY_METRIC_ISC_MEAN], rel=1e-9)
    assert score.std == pytest.approx(isc[metric_isc.KEY_METRIC_ISC_STD], rel=1e-7)


def test_clean_fid(sets):
    fid = pytest.importorskip("cleanfid.fid")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = fid.fid_from_feats(*sets)
        except TypeError:  # scipy 1.18 took sqrtm's disp away
            pytest.skip("this clean-fid does not run with this scipy")
    assert frechet_distance(*sets) == pytest.approx(float(value), rel=1e-5)


def test_prdc(sets):
    prdc = pytest.importorskip("prdc")
    x, y = sets
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = prdc.compute_prdc(real_features=y, fake_features=x, nearest_k=5)
    dc, pr = density_coverage(x, y), precision_recall(x, y, k=5, rule="lt")
    assert dc.density == pytest.approx(theirs["density"], abs=1e-9)
    assert dc.coverage == pytest.approx(theirs["coverage"], abs=1e-9)
    assert pr.precision == pytest.approx(theirs["precision"], abs=1e-9)
    assert pr.recall == pytest.approx(theirs["recall"], abs=1e-9)
