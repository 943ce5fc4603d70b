"""CMMD: the maximum mean discrepancy of CLIP embeddings with a Gaussian kernel (arXiv:2401.09603).

As google-research/google-research `cmmd/distance.py` computes it: sigma = 10, times 1000, and the
estimator of least variance, in which every sample is paired with itself, too.
"""

from __future__ import annotations

import numpy as np

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.frechet import check_pair
from ldmbench.metrics.influence import centred_square
from ldmbench.metrics.resample import CONFIDENCE, Replicates, replicate
from ldmbench.seeds import derive_seed

__all__ = ["cmmd", "cmmd_family", "of_embeddings"]

SIGMA, SCALE = 10.0, 1000.0
ROWS = 1024


def cmmd(generated: object, reference: object) -> float:
    """Return 1000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)), k = exp(-|x - y|^2 / 200).

    It is above 0 for equal distributions. Arithmetic is float64: with embeddings of length 1 all
    kernels lie in [0.98, 1], where float32 loses a percent of the result.

    Args:
        generated: (N, D) embeddings; the definition's are those of CLIP ViT-L/14-336, of length 1.
        reference: (M, D) embeddings.

    Raises:
        InputError: bad features or unlike widths.

    Examples:
        >>> round(cmmd([[0.0], [1.0]], [[2.0], [3.0]]), 4)
        39.3088
    """
    value, _, _ = _sums(*_centred(generated, reference))
    return value


def cmmd_family(
    generated: object, reference: object, *, confidence: float = CONFIDENCE
) -> dict[str, Replicates]:
    """Return {"cmmd": ...} with its interval; arguments and errors are those of `cmmd`."""
    x, y = _centred(generated, reference)
    value, gen, ref = _sums(x, y)
    own = _second_order(x, y)
    made = replicate(value, gen, ref, excess=own, floor=own, least=0.0, confidence=confidence)
    return {"cmmd": made}


def of_embeddings(
    generated: object, reference: object, *, confidence: float = CONFIDENCE
) -> dict[str, Replicates]:
    """Return `cmmd_family` of (N, D) embeddings of any length: each is divided by its norm."""
    sides = check_pair(generated, reference)
    x, y = (side / np.linalg.norm(side.astype(np.float64), axis=1)[:, None] for side in sides)
    return cmmd_family(x, y, confidence=confidence)


def _centred(generated: object, reference: object) -> tuple[Array, Array]:
    """Return both sets, float64, about the reference's mean: distances are of few digits else."""
    x, y = (side.astype(np.float64) for side in check_pair(generated, reference))
    centre = y.mean(0)
    return x - centre, y - centre


def _sums(x: Array, y: Array) -> tuple[float, Array, Array]:
    """Return the distance, and the influences of both sets."""
    n, m = len(x), len(y)
    xx, yy = (_far(side, side)[0] for side in (x, y))
    xy, yx = _far(x, y)
    # 1 - k is summed, which is small where k is near 1.
    value = 2.0 * xy.sum() / (n * m) - xx.sum() / n**2 - yy.sum() / m**2
    gen = 2.0 * SCALE * (xy / m - xx / n)
    ref = 2.0 * SCALE * (yx / n - yy / m)
    return SCALE * float(value), gen - gen.mean(), ref - ref.mean()


def _far(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the sums of 1 - k over the rows and over the columns of a block."""
    by_row, by_col = np.empty(len(a)), np.zeros(len(b))
    for start in range(0, len(a), ROWS):
        part = _kernel(a[start : start + ROWS], b)
        by_row[start : start + ROWS] = part.sum(1)
        by_col += part.sum(0)
    return by_row, by_col


def _kernel(a: Array, b: Array) -> Array:
    """Return 1 - exp(-|a - b|^2 / (2 sigma^2)), (N, M)."""
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2.0 * (a @ b.T)
    np.maximum(squares, 0.0, out=squares)
    squares *= -1.0 / (2.0 * SIGMA**2)
    far: Array = np.negative(np.expm1(squares, out=squares), out=squares)
    return far


def _second_order(x: Array, y: Array) -> float:
    """Return the variance that pairs of samples bring, where single ones bring none."""
    n, m = len(x), len(y)
    rng = np.random.default_rng(derive_seed("second-order", n, m))
    a, b = x[rng.permutation(n)[:512]], y[rng.permutation(m)[:512]]
    inner = 2.0 * centred_square(_kernel(a, a), same=True) / n**2
    inner += 2.0 * centred_square(_kernel(b, b), same=True) / m**2
    cross = 4.0 * centred_square(_kernel(a, b), same=False) / (n * m)
    return SCALE**2 * (inner + cross)
