"""Every row of the catalogue's metrics computes: one number each, of the same small inputs.

Numbers of reference implementations are in `test_metrics_golden.py`; these show that a row reaches
its function, and that the value stays.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from ldmbench.catalog.metrics import SCORABLE
from ldmbench.metrics import bootstrap

pytestmark = pytest.mark.golden
NUMBERS = json.loads((Path(__file__).parents[1] / "golden" / "rows.json").read_text())
ROWS = [row for row in SCORABLE.values() if not row.family.networks]


def inputs(family):
    """Return what a family compares: 60 samples of 8 numbers, or 6 pairs of images."""
    rng = np.random.RandomState(7)
    samples, reals, seen = (rng.randn(n, 8) + shift for n, shift in ((60, 0.2), (64, 0), (70, 0)))
    pairs = rng.randint(0, 256, (2, 6, 32, 32, 3)).astype(np.uint8)
    return {
        "nothing": (samples,),
        "reference": (samples, reals),
        "training": (samples, seen, reals),
        "validation": (samples, reals, seen),
        "caption": (samples, reals[:60]),
        "pair": tuple(pairs) if family.needs == "images" else (samples, reals[:60]),
        "class": (samples, rng.randint(0, 8, 60)),
        "latents": (np.sort(cdist(samples, reals), axis=1)[:, :20],),
    }[family.against]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_gives_its_golden_number(row):
    found = bootstrap(row.name, *inputs(row.family))
    assert found.value == pytest.approx(NUMBERS[row.name], rel=1e-6)
