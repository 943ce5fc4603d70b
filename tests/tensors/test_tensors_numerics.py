"""float32 means float32, whatever code flipped before."""

import pytest
import torch

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.tensors.numerics import numerics

BACKENDS = torch.backends


def put(place, name, value):
    return lambda: setattr(place, name, value)


FLIPS = [
    put(BACKENDS.cuda.matmul, "allow_tf32", True),
    put(BACKENDS.cudnn, "allow_tf32", True),
    put(BACKENDS.cudnn, "deterministic", False),
    put(BACKENDS.cudnn, "benchmark", True),
    lambda: torch.set_float32_matmul_precision("medium"),
]
if hasattr(BACKENDS, "fp32_precision"):
    FLIPS += [
        put(BACKENDS, "fp32_precision", "tf32"),
        put(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
        put(BACKENDS.cudnn.conv, "fp32_precision", "tf32"),
        put(BACKENDS.mkldnn.matmul, "fp32_precision", "bf16"),
    ]


@pytest.fixture(autouse=True)
def kept():
    yield
    numerics()


def assert_exact():
    assert torch.get_float32_matmul_precision() == "highest"
    assert not BACKENDS.cuda.matmul.allow_tf32
    assert not BACKENDS.cudnn.allow_tf32
    assert BACKENDS.cudnn.deterministic
    assert not BACKENDS.cudnn.benchmark
    if hasattr(BACKENDS, "fp32_precision"):
        places = (BACKENDS, BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.mkldnn.matmul)
        assert {place.fp32_precision for place in places} == {"ieee"}


@pytest.mark.parametrize("flip", FLIPS)
def test_flags_that_code_flips_are_put_back(flip):
    flip()
    said = numerics()
    assert_exact()
    assert said == {"tf32": False, "deterministic_convolutions": True}


def test_all_flips_together_are_put_back():
    for flip in FLIPS:
        flip()
    numerics()
    assert_exact()


def test_loading_a_model_in_python_sets_the_flags(tmp_path):
    BACKENDS.cudnn.allow_tf32 = True
    with pytest.raises(InputError):
        load(tmp_path / "no model")
    assert_exact()


def test_on_a_processor_the_flags_change_no_bit():
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    kernel = torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    before = x @ x, torch.nn.functional.conv2d(x[None, None], kernel)
    numerics()
    after = x @ x, torch.nn.functional.conv2d(x[None, None], kernel)
    assert all(map(torch.equal, before, after))
