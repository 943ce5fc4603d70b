"""A metric's name stands in its row and beside its function, nowhere else (HOUSE.md, point 2)."""

import ast
from pathlib import Path

import pytest

from ldmbench.catalog.metrics import SCORES

ROOT = Path(__file__).parent.parent / "ldmbench"
OWN = {"features/__init__.py", "features/lpips.py"}
"""Where a metric is computed, beside `metrics/`; public names of a package."""
ARITHMETIC = {
    "features/extractor.py", "plan/expand.py", "plan/sampled.py", "records/costs.py",
    "report/cells.py", "scoring/sides.py",
}  # fmt: skip
"""Where `precision` is that of the arithmetic, a field of sampling, training and protocols."""
OTHERS = {"precision": ARITHMETIC, "lpips": {"schema/weights.py"}}
"""Names that mean something else in some files: `lpips` is a kind of weights too."""


def spelled(path):
    """Return the names of metrics that a file holds as whole strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and text in SCORES}


def files():
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if place.split("/")[0] not in ("catalog", "metrics") and place not in OWN:
            yield place


@pytest.mark.parametrize("place", list(files()))
def test_no_other_module_spells_a_metric(place):
    found = {name for name in spelled(ROOT / place) if place not in OTHERS.get(name, ())}
    assert not found, f"{place} spells {sorted(found)}; read the rows of catalog/metrics.py"


def test_what_is_excepted_is_there():
    for name, places in OTHERS.items():
        for place in places:
            assert name in spelled(ROOT / place), f"{place} does not spell {name}: drop it here"
