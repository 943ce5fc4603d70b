"""Torch forms the same numbers as numpy, through the code that a GPU runs."""

import numpy as np
import pytest

from ldmbench.errors import InputError
from ldmbench.metrics import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    memorization,
    moments,
    precision_recall,
)
from ldmbench.metrics.engine import HOST, Device, engine_of
from ldmbench.metrics.families import moments_family, neighbours_family

torch = pytest.importorskip("torch")


def draw(seed, n, d, shift=0.0):
    return (np.random.default_rng(seed).standard_normal((n, d)) + shift).astype(np.float32)


def hostile(d, offset):
    """Duplicates, near copies and a far offset."""
    x, y = draw(0, 150, d, offset), draw(1, 170, d, offset)
    y[40:70] = y[0]
    x[:9] = y[5:14]
    x[20:30] = x[20] + np.float32(1e-6) * x[20:30]
    return x, y


@pytest.fixture
def small(monkeypatch):
    """The engine of a GPU, run by torch on the processor, in blocks small enough to be many."""
    monkeypatch.setattr(Device, "block", 64)
    return Device("cpu")


@pytest.mark.parametrize(("d", "offset"), [(8, 0.0), (300, 0.0), (300, 1000.0)])
@pytest.mark.parametrize("rule", ["le", "lt"])
def test_a_device_decides_as_the_host(small, d, offset, rule):
    x, y = hostile(d, offset)
    options = {"rule": rule, "density_rule": rule, "subsets": 4, "subset_size": 100}
    here, there = (neighbours_family(x, y, engine=e, **options) for e in (HOST, small))
    for name, score in here.items():
        tolerance = 1e-6 * max(1.0, abs(score.value)) if name == "kid" else 0.0
        assert there[name].value == pytest.approx(score.value, abs=tolerance), name
        assert there[name].high == pytest.approx(score.high, rel=1e-5)


def test_a_device_gives_the_same_distance(small):
    x, y = draw(2, 300, 40, 0.1), draw(3, 280, 40)
    here, there = (moments_family(x, y, engine=e)["fid"] for e in (HOST, small))
    assert there.value == pytest.approx(here.value, rel=1e-10)
    np.testing.assert_allclose(there.replicates, here.replicates, rtol=1e-8)


def test_products_stay_float32(small):
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    with small.exact():
        assert not matmul.allow_tf32
    after = matmul.fp32_precision if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    assert after == before


def test_who_works_where():
    x = torch.zeros(3, 2)
    assert engine_of(x, np.zeros(3)) is HOST
    assert engine_of(device="cpu") is HOST
    with pytest.raises(InputError, match="cannot be used"):
        engine_of(device="nowhere")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_cuda_tensors_stay_there_and_agree(offset):
    x, y = hostile(300, offset)
    there = [torch.from_numpy(v).cuda() for v in (x, y)]
    assert isinstance(engine_of(*there), Device)
    assert precision_recall(*there) == precision_recall(x, y)
    assert density_coverage(*there) == density_coverage(x, y)
    assert memorization(*there, there[0]) == memorization(x, y, x)
    for subsets, size in ((None, 1000), (4, 100), (100, 150)):
        known = kernel_distance(x, y, subsets=subsets, subset_size=size).mean
        found = kernel_distance(*there, subsets=subsets, subset_size=size).mean
        assert found == pytest.approx(known, rel=1e-6, abs=1e-6)
    assert frechet_distance(*there) == pytest.approx(frechet_distance(x, y), rel=1e-8)
    np.testing.assert_allclose(moments(there[0]).cov, moments(x).cov, rtol=1e-8, atol=1e-9)
